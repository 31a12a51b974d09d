"""Processes that outlive the one that started them: found again by number and start, ended with their children."""

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

STOP_S = 15.0
BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")

Identity = tuple[int, str | float]
"""Number and start of a process: seconds of the clock without `/proc` and in files of former versions."""


def identity(pid: int) -> Identity:
    """Number and start of a process: a number alone may come to mean another process.

    The start counts ticks since a boot: the clock may be set meanwhile, and times in it move along.

    Raises:
        FileNotFoundError, psutil.NoSuchProcess: there is no such process.
    """
    if not BOOT_FILE.exists():
        return pid, psutil.Process(pid).create_time()
    # The second field, in brackets, may hold spaces and brackets; the start is the 22nd.
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return pid, f"{BOOT_FILE.read_text().strip()}/{ticks}"


def find(pid: int, started: str | float) -> psutil.Process | None:
    """The process of an identity, if it still runs."""
    # It may end at any moment.
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        if is_alive(pid) and _is_start(pid, started):
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


def _is_start(pid: int, started: str | float) -> bool:
    if isinstance(started, str):
        return identity(pid) == (pid, started)
    return abs(psutil.Process(pid).create_time() - started) < 1


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
