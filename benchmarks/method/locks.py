"""Locks between processes, held by the kernel: whoever dies lets go, and the number inside only tells who it was."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def claim(path: Path) -> TextIO | None:
    """The open lock file, or None while another process holds it; close it to let go.

    A child that inherits the descriptor holds the lock too, so it outlives a parent that was killed.
    """
    stream = _open(path)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    sign(stream, os.getpid())
    return stream


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs, as soon as no other process does."""
    with _open(path) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        sign(stream, os.getpid())
        yield


def sign(stream: TextIO, pid: int) -> None:
    """Write the holder's process id into a held lock."""
    stream.seek(0)
    stream.truncate()
    stream.write(f"{pid}\n")
    stream.flush()


def _open(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+")
