"""Starts the planned runs in processes of their own, some at a time; several schedules may share one folder."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from benchmarks.method.locks import claim, sign
from benchmarks.method.places import Places
from benchmarks.method.plan import ROOT, PlannedRun
from model.train.interrupt import TerminatedError, on_sigterm

logger = logging.getLogger(__name__)

_POLL_S = 0.2
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True)
class Limits:
    """How many runs at a time, how many in all, and the time after which none is started (`time.monotonic`)."""

    workers: int = 1
    runs: int | None = None
    until: float = float("inf")


@dataclass
class Tally:
    """Keys of runs done here, done or under way elsewhere, and failed with the last line of their log."""

    done: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Started:
    run: PlannedRun
    process: subprocess.Popen[bytes]
    lock: TextIO
    log: Path


Command = Callable[[PlannedRun, Places], list[str]]


def worker_command(run: PlannedRun, places: Places) -> list[str]:
    """What does one run."""
    options = [f"--{name}={getattr(places, name).resolve()}" for name in ("study", "params", "data", "results")]
    return [sys.executable, "-m", "benchmarks.method.worker", run.key, *options]


def run_all(runs: Sequence[PlannedRun], places: Places, limits: Limits, command: Command = worker_command) -> Tally:
    """Do every run whose result is not there, in order; a failed one does not stop the others.

    Raises:
        TerminatedError: SIGTERM; the runs under way have ended, with their checkpoints written.
    """
    tally = Tally()
    running: list[_Started] = []
    starts = _starts(runs, places, limits, command, tally)
    with on_sigterm() as notice, tqdm(total=len(runs), unit="run", desc="study", disable=None) as bar:
        try:
            while True:
                while len(running) < limits.workers and (started := next(starts, None)) is not None:
                    running.append(started)
                if not running:
                    return tally
                time.sleep(_POLL_S)
                running = [item for item in running if not _has_ended(item, tally)]
                bar.n = sum(places.result(run).exists() for run in runs)
                bar.refresh()
                if notice.given:
                    raise TerminatedError(f"{len(running)} runs were cut off; the same command goes on from there")
        finally:
            _end(running)


def _starts(
    runs: Sequence[PlannedRun], places: Places, limits: Limits, command: Command, tally: Tally
) -> Iterator[_Started]:
    number = 0
    for run in runs:
        if places.result(run).exists():
            continue
        if time.monotonic() >= limits.until or number == limits.runs:
            return
        lock = claim(places.data / "locks" / f"{run.key}.lock")
        # Another schedule may have finished the run between the first look and the lock.
        if lock is None or places.result(run).exists():
            tally.elsewhere.append(run.key)
            if lock is not None:
                lock.close()
            continue
        number += 1
        yield _start(run, places, command, lock)


def _start(run: PlannedRun, places: Places, command: Command, lock: TextIO) -> _Started:
    log = places.folder(run).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1"), "PYTHONPATH": path}
    with log.open("wb") as stream:
        # The child inherits the lock, and none of the terminal's signals: it ends when it is asked to.
        process = subprocess.Popen(
            command(run, places),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    sign(lock, process.pid)
    return _Started(run, process, lock, log)


def _has_ended(started: _Started, tally: Tally) -> bool:
    code = started.process.poll()
    if code is None:
        return False
    started.lock.close()
    if code == 0:
        tally.done.append(started.run.key)
        started.log.unlink(missing_ok=True)
    else:
        lines = started.log.read_text(errors="replace").strip().splitlines()
        tally.failed[started.run.key] = f"exit code {code}: {lines[-1] if lines else 'no word'} ({started.log})"
        logger.error("%s: %s", started.run.key, tally.failed[started.run.key])
    return True


def _end(running: Sequence[_Started]) -> None:
    for started in running:
        started.process.terminate()
    for started in running:
        started.process.wait()
        started.lock.close()
