"""No process outlives the one that started it: two trainings would meet on the same files."""

import ctypes
import os
import signal
import sys

PARENT = "RMTL_PARENT_PID"
"""Variable in which a launcher gives its own number to the process that it starts."""

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let the kernel send SIGTERM when the parent is gone, even by kill -9 (Linux only; elsewhere nothing is done).

    The kernel says nothing of a parent that died before this call, so its number is looked at where it was given.
    """
    # Taken out of the environment: processes further down have other parents.
    expected = os.environ.pop(PARENT, "")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if expected and expected != str(os.getppid()):
            os.kill(os.getpid(), signal.SIGTERM)
