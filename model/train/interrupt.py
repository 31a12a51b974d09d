"""Leaving in good order when a machine is taken away: finish the step, write the checkpoint, exit 143."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from model.errors import FaceError


class TerminatedError(FaceError):
    """The process was asked to end; the checkpoint is written and training can be resumed."""

    exit_code = 143


@dataclass
class Notice:
    """Whether the process has been asked to end."""

    given: bool = False


@contextmanager
def on_sigterm() -> Iterator[Notice]:
    """Turn SIGTERM into a notice while the block runs; a thread other than the main one gets none."""
    notice = Notice()
    if threading.current_thread() is not threading.main_thread():
        yield notice
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        notice.given = True

    former = signal.signal(signal.SIGTERM, note)
    try:
        yield notice
    finally:
        signal.signal(signal.SIGTERM, former)
