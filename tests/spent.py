"""Processor time of the processes that a test starts: wall time on a busy machine says little."""

import resource
from collections.abc import Callable


def stopwatch() -> Callable[[], float]:
    """Seconds of processor that children and theirs have used since this call, once they have ended."""
    begun = _children()
    return lambda: _children() - begun


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
