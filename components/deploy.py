"""Step 11: put the packed model behind an endpoint."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def deploy(
    section: dict[str, Any],
    target: str,
    promotion: dsl.Input[dsl.Artifact],
    archive: dsl.Input[dsl.Model],
    deployment: dsl.Output[dsl.Artifact],
) -> None:
    """Start or update the endpoint with the champion and check golden answers; `target` is `local` or `kserve`."""
    from pathlib import Path

    from components.step import step
    from model.cli.workspace import SERVE
    from model.config import DeployConfig, parse_section
    from model.registry.release import confirm_champion
    from model.serving.deploy import Archive, deploy_archive, read_archive
    from model.storage import read_json

    with step("deploy", inputs=[promotion, archive], outputs=[deployment]):
        entry = read_json(Path(promotion.path))
        confirm_champion(entry["name"], entry["after"], read_archive(Path(archive.path)))
        deploy_archive(
            parse_section(DeployConfig, section, name="deploy"),
            Archive(Path(archive.path), archive.uri, entry["after"]),
            target=target,
            state=SERVE,
            out=Path(deployment.path),
        )
