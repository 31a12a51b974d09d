"""How far a fetch has come: DVC shows it on a terminal only, and a step of a pipeline has none."""

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

EVERY_S = 30.0
"""Seconds between two lines."""

_log = logging.getLogger(__name__)


class Arrival(NamedTuple):
    """Files that are there, files that are wanted, and the bytes of the former."""

    files: int
    of: int
    size: int

    def __str__(self) -> str:
        return f"{self.files} of {self.of} files, {self.size / 1e6:.1f} MB"


def arrival(cache: Path, wanted: Collection[str]) -> Arrival:
    """Which of the files with these digests lie in a DVC cache."""
    sizes = [size for digest in wanted if (size := _size(cache / place(digest))) is not None]
    return Arrival(len(sizes), len(wanted), sum(sizes))


def place(digest: str) -> Path:
    """Where a DVC cache or remote has the file with this digest."""
    return Path("files", "md5", digest[:2], digest[2:])


@contextmanager
def told(cache: Path, wanted: Collection[str]) -> Iterator[None]:
    """Log every `EVERY_S` seconds how much has come, for as long as the block lasts, and at its end."""
    ended, began = threading.Event(), time.monotonic()

    def tell() -> None:
        _log.info("fetched %s after %.0f s", arrival(cache, wanted), time.monotonic() - began)

    def watch() -> None:
        while not ended.wait(EVERY_S):
            tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        tell()


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None
