"""Step 0: fetch one data version from the DVC remote; no other step reads the repository's data."""

from kfp import dsl

from components.base import component


@component
def ingest(data_version: str, remote: str, data: dsl.Output[dsl.Dataset]) -> None:
    """Fetch the version with this DVC digest and check every file against it."""
    from pathlib import Path

    from components.step import step
    from model.data.ingest import fetch_version

    with step("ingest", outputs=[data]):
        fetch_version(data_version, remote=remote, out=Path(data.path))
        data.metadata["data_version"] = data_version
