"""Where the local store keeps what was registered."""

from pathlib import Path

from model.registry.client import open_store


def artifacts(name: str, version: str = "1") -> Path:
    """The folder of a version's artifacts in the local store."""
    with open_store() as store:
        return Path(store.client.get_model_version(name, version).source.removeprefix("file://"))
