"""Step 10: put the packed model behind an endpoint."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def deploy(
    section: dict[str, Any],
    target: str,
    version: str,
    archive: dsl.Input[dsl.Model],
    deployment: dsl.Output[dsl.Artifact],
) -> None:
    """Start or update the endpoint and check golden answers; `target` is `local` or `kserve`."""
    from pathlib import Path

    from components.step import step
    from model.cli.workspace import SERVE
    from model.config import DeployConfig, parse_section
    from model.serving.deploy import Archive, deploy_archive

    with step("deploy", inputs=[archive], outputs=[deployment]):
        deploy_archive(
            parse_section(DeployConfig, section, name="deploy"),
            Archive(Path(archive.path), archive.uri, version),
            target=target,
            state=SERVE,
            out=Path(deployment.path),
        )
