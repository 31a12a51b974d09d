"""Files of a study on this machine: a folder for each trial, and locks that the kernel takes back from the dead."""

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Places:
    """Where the trials of one study train; `root` holds the studies of this machine, and their database by default."""

    root: Path
    study: str

    @property
    def here(self) -> str:
        """Names this folder on this machine; locks say nothing about a trial of another place."""
        return f"{socket.gethostname()}:{self.root.resolve()}"

    @property
    def database(self) -> Path:
        """Where the study is kept if no other database is named."""
        return self.root / "study.db"

    def trial(self, origin: int) -> Path:
        """Folder of a trial and of all that repeat it: each goes on from the checkpoint of the one before."""
        return self.root / self.study / f"{origin:04d}"

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One worker of this machine at a time decides which trial comes next."""
        with self._open("turn") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def hold(self, origin: int) -> TextIO:
        """The lock of a running trial, held until it is closed or its process has died."""
        stream = self._open(f"{origin:04d}")
        fcntl.flock(stream, fcntl.LOCK_EX)
        return stream

    @contextmanager
    def team(self, origin: int) -> Iterator[None]:
        """One team of processes at a time trains a trial; the next one waits until the former has left."""
        with self._open(f"{origin:04d}.team") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def is_held(self, origin: int) -> bool:
        """Whether the process of a running trial lives."""
        with self._open(f"{origin:04d}") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _open(self, name: str) -> TextIO:
        folder = self.root / self.study
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f"{name}.lock").open("a")
