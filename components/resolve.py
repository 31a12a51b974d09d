"""Before step 0: which data version a name stands for today. Never cached, since a branch moves."""

from kfp import dsl

from components.base import component


@component
def resolve(data_version: str, repository: str, resolved: dsl.Output[dsl.Artifact]) -> str:
    """Returns the DVC digest behind a Git revision of `repository`; a digest stands for itself."""
    from pathlib import Path

    from components.step import step
    from model.data.ingest import resolve_version
    from model.storage import write_json

    with step("resolve", outputs=[resolved]):
        digest = resolve_version(data_version, repository=repository)
        write_json(Path(resolved.path), {"data_version": data_version, "digest": digest})
    return digest
