"""Workers of this machine on one study, each a process of its own: started, watched, replaced, and ended together."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from optuna.trial import FrozenTrial

from model.errors import ConfigError, DataContractError, FaceError, ServiceError
from model.search.pick import SearchResult, summarise
from model.search.storage import AWAY, open_storage, reached
from model.search.study import create_study
from model.search.training import Job
from model.search.trials import all_trials, done
from model.storage import write_json
from model.train.failure import FAILURE_FILE, read
from model.train.interrupt import Notice, TerminatedError, on_sigterm
from model.train.orphan import PARENT

POLL_S = 0.5
LEAVE_S = 45.0
"""Seconds for a checkpoint before a worker that was asked to end is killed."""

REPLACED = 3
"""How often each worker is started again after it was killed."""

Watch = Callable[[Sequence[FrozenTrial]], None]

_BY_CODE = {kind.exit_code: kind for kind in (ConfigError, DataContractError, ServiceError, TerminatedError)}

logger = logging.getLogger(__name__)


@dataclass
class _Worker:
    number: int
    process: "subprocess.Popen[bytes]"
    log: Path
    deaths: int = 0


@dataclass
class Crew:
    """What `run_crew` has started.

    Attributes:
        command: what a worker is, before the path of its job.
    """

    job: Job
    command: list[str] = field(default_factory=lambda: [sys.executable, "-m", "model.search"])
    workers: list[_Worker] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Job, logs and last words of the workers."""
        return self.job.places.root / self.job.places.study

    def start(self, number: int, deaths: int = 0) -> _Worker:
        """Start a worker; its words go to a file."""
        log, failure = (self.folder / f"worker-{number}.{suffix}" for suffix in ("log", "failure.json"))
        failure.unlink(missing_ok=True)
        gpus = {} if self.job.processes > 1 or not torch.cuda.device_count() else _one_gpu(number)
        environment = {"OMP_NUM_THREADS": "1", **os.environ, **gpus, FAILURE_FILE: str(failure)}
        environment[PARENT] = str(os.getpid())
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [*self.command, str(self.folder / "job.json")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return _Worker(number, process, log, deaths)

    def look_after(self) -> bool:
        """Start again whoever was killed; whether somebody is still at work.

        Raises:
            FaceError: a worker ended by a failure of its own, or was killed too often.
        """
        for place, worker in enumerate(self.workers):
            code = worker.process.poll()
            if not code:
                continue
            failure = read(worker.log.with_suffix(".failure.json"))
            if failure is not None:
                raise _BY_CODE.get(code, FaceError)(failure.message)
            if code > 0 or worker.deaths == REPLACED:
                raise FaceError(f"search worker {worker.number} ended with code {code}; see {worker.log}")
            logger.warning("search worker %d was killed by signal %d; another takes over", worker.number, -code)
            self.workers[place] = self.start(worker.number, worker.deaths + 1)
        return any(worker.process.poll() is None for worker in self.workers)

    def end(self) -> None:
        """Ask all to end, and kill who does not within `LEAVE_S`."""
        for worker in self.workers:
            worker.process.terminate()
        until = time.monotonic() + LEAVE_S
        for worker in self.workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(worker.process.pid, signal.SIGKILL)
                worker.process.wait()


def run_crew(job: Job, workers: int, watch: Watch) -> SearchResult:
    """Work on a study with several processes until it has enough trials.

    Args:
        watch: gets all trials, again and again.

    Raises:
        TerminatedError: SIGTERM; the trials that ran have their checkpoints, the same call goes on from there.
        FaceError: what `search` raises in a worker.
    """
    job.check()
    storage = open_storage(job.places)
    with reached(job.places):
        study = create_study(job, storage)
        crew = Crew(job)
        with on_sigterm() as notice:
            if len(done(all_trials(study))) < job.config.trials:
                write_job(job, crew.folder / "job.json")
                _supervise(crew, workers, notice, lambda: watch(all_trials(study)))
        watch(all_trials(study))
        return summarise(study, job.config)


def _supervise(crew: Crew, workers: int, notice: Notice, look: Callable[[], None]) -> None:
    try:
        crew.workers += [crew.start(number) for number in range(workers)]
        while crew.look_after():
            with suppress(*AWAY):  # the workers wait for a database that is away, and end if it stays away
                look()
            if notice.given:
                raise TerminatedError(f"{crew.folder}: asked to end; the same command goes on from there")
            time.sleep(POLL_S)
    finally:
        crew.end()


def write_job(job: Job, path: Path) -> None:
    """What a worker is told (`python -m model.search`)."""
    write_json(
        path,
        {
            "run": job.run.model_dump(mode="json"),
            "search": job.config.model_dump(mode="json"),
            "shards": str(job.shards),
            "folder": str(job.places.root),
            "processes": job.processes,
        },
    )


def _one_gpu(number: int) -> dict[str, str]:
    """The workers share the GPUs of the machine evenly."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return {"CUDA_VISIBLE_DEVICES": names[number % len(names)]}
