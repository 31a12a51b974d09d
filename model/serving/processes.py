"""Processes that outlive the one that started them: found again by number and start time, ended with their children."""

import os
import time
from contextlib import suppress

import psutil

STOP_S = 15.0


def identity(pid: int) -> tuple[int, float]:
    """Number and start time of a process: a number alone may come to mean another process."""
    return pid, psutil.Process(pid).create_time()


def find(pid: int, started: float) -> psutil.Process | None:
    """The process of an identity, if it still runs."""
    if is_alive(pid) and abs(psutil.Process(pid).create_time() - started) < 1:
        return psutil.Process(pid)
    return None


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def terminate(processes: list[psutil.Process]) -> bool:
    """Ask each process and its children to end, one process after the other, then make them; whether there were any."""
    for process in processes:
        # It may have ended by itself meanwhile.
        with suppress(psutil.NoSuchProcess):
            family = [process, *process.children(recursive=True)]
            process.terminate()
            for member in _survivors(family):
                member.kill()
            _survivors(family)
    return bool(processes)


def _survivors(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those not gone after `STOP_S`."""
    deadline = time.monotonic() + STOP_S
    while True:
        # In short turns: in a container, orphans become children of this process, which has to bury them.
        _, rest = psutil.wait_procs(family, timeout=0.1)
        rest = [member for member in rest if _lingers(member)]
        if not rest or time.monotonic() > deadline:
            return rest


def _lingers(process: psutil.Process) -> bool:
    """Whether it runs, or is still to be buried here; zombies of others are theirs to bury."""
    try:
        return process.ppid() == os.getpid() or process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
