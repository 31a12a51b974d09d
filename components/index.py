"""Step 1: list every face of the configured benchmarks."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def index(
    section: dict[str, Any],
    seed: int,
    data_version: str,
    data: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
) -> None:
    """Write the manifest; `data_version` makes the cache follow the bytes."""
    from pathlib import Path

    from components.step import step
    from model.config import IndexConfig, parse_section
    from model.data.index import build_index

    with step("index", inputs=[data], outputs=[manifest]):
        build_index(
            parse_section(IndexConfig, section, name="index"), data=Path(data.path), out=Path(manifest.path), seed=seed
        )
        manifest.metadata["data_version"] = data_version
