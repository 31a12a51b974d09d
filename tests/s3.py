"""The S3 server of the tests, with their user."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import object_store
from benchmarks.object_store import Server

ACCESS = "AKIATESTOFRMTL"
SECRET = "never-to-be-written-anywhere"

__all__ = ["ACCESS", "SECRET", "Server", "run_server"]


@contextmanager
def run_server(folder: Path, *, roles: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """A server for the user of these keys, as `object_store.run_server` starts it."""
    with object_store.run_server(folder, access=ACCESS, secret=SECRET, roles=roles) as server:
        yield server
