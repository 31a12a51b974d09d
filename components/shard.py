"""Step 3: pack the valid faces for the loader."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def shard(
    section: dict[str, Any],
    data_digest: str,
    data: dsl.Input[dsl.Dataset],
    valid_manifest: dsl.Input[dsl.Dataset],
    shards: dsl.Output[dsl.Dataset],
) -> None:
    """Write tar shards and their index."""
    from pathlib import Path

    from components.step import step
    from model.config import ShardConfig, parse_section
    from model.data.shards import write_shards

    with step("shard", inputs=[data, valid_manifest], outputs=[shards]):
        write_shards(
            parse_section(ShardConfig, section, name="shard"),
            manifest=Path(valid_manifest.path) / "manifest.valid.parquet",
            data=Path(data.path),
            out=Path(shards.path),
        )
        shards.metadata["data_digest"] = data_digest
