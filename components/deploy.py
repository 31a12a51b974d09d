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
    from model.config import DeployConfig, parse_section
    from model.serving.deploy import deploy_archive

    with step("deploy", inputs=[archive], outputs=[deployment]):
        deploy_archive(
            parse_section(DeployConfig, section, name="deploy"),
            archive=Path(archive.path),
            archive_uri=archive.uri,
            target=target,
            version=version,
            out=Path(deployment.path),
        )
