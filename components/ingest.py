"""Step 0: fetch one data version from the DVC remote."""

from kfp import dsl

from components.base import component


@component
def ingest(data_version: str, remote: str, data: dsl.Output[dsl.Dataset]) -> str:
    """Fetch the version with this DVC digest; returns the digest that was checked."""
    from pathlib import Path

    from model.data.ingest import fetch_version

    return fetch_version(data_version, remote=remote, out=Path(data.path))
