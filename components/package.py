"""Step 10: pack the weights for TorchServe."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def package(
    section: dict[str, Any],
    data_digest: str,
    weights: dsl.Input[dsl.Model],
    registration: dsl.Input[dsl.Artifact],
    archive: dsl.Output[dsl.Model],
) -> None:
    """Write the archive, which tells its registered version, after opening it and running it once."""
    from pathlib import Path

    from components.step import step
    from model.config import PackageConfig, parse_section
    from model.serving.archive import package as build_archive
    from model.storage import read_json

    with step("package", inputs=[weights, registration], outputs=[archive]):
        build_archive(
            parse_section(PackageConfig, section, name="package"),
            weights=Path(weights.path),
            out=Path(archive.path),
            version=read_json(Path(registration.path))["version"],
        )
        archive.metadata["data_digest"] = data_digest
