"""Searches whose training is a formula that takes some time; the study, its storage, locks and processes are real."""

import logging
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from model.config import TrainRun
from model.schema import TrainResult
from model.search import MACRO_F1, NME, training
from model.search.__main__ import main
from model.search.crew import write_job
from model.search.pick import SearchResult
from model.search.study import load_study, search
from model.search.training import Job
from model.search.trials import done, origin
from model.train.failure import TrainingError

_WAIT_S = 100


@dataclass(frozen=True)
class Formula:
    """A training that takes `seconds`, notes that it began, and fails where the expression's weight is too large."""

    journal: Path = Path(os.devnull)
    seconds: float = 0.0
    never_above: float = math.inf

    def __call__(self, run: TrainRun, *, shards: Path, out: Path, stop: Callable[[int, Any], bool]) -> TrainResult:
        """Metrics that speak for a ratio near 3."""
        with self.journal.open("a") as stream:
            stream.write(f"{out.name}\n")
        weight = run.train.loss.expression_weight
        if weight > self.never_above:
            raise TrainingError("train/expression is not finite")
        time.sleep(self.seconds)
        distance = abs(math.log(weight / 3))
        metrics = {NME: 4 + distance / 10 + weight / 2000, MACRO_F1: 45 - distance + run.train.loss.base_share}
        return TrainResult("", "", "", 0, metrics)


class Worker:
    """`python -m model.search` in a forked process, which spares a test the imports."""

    def __init__(self, job: Path, formula: Formula, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        self.process: BaseProcess = multiprocessing.get_context("fork").Process(
            target=self._run, args=(job, formula, environment)
        )
        self.process.start()

    def _run(self, job: Path, formula: Formula, environment: dict[str, str]) -> None:
        stream = os.open(self._log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(stream, 2)
        logging.basicConfig(level=logging.INFO, force=True, handlers=[logging.StreamHandler(os.fdopen(stream, "w"))])
        os.environ.update(environment)
        training.train = formula  # type: ignore[assignment]
        os._exit(main([str(job)]))

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.join()

    def end(self, code: int = 0) -> str:
        """What it said until it ended by itself with this exit code."""
        self.process.join(_WAIT_S)
        said = self._log.read_text()
        assert self.process.exitcode == code, said
        return said


class Study:
    """A search of a folder."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.root = job.places.root
        self.root.mkdir(exist_ok=True)
        self.journal = self.root / "journal.txt"
        self.workers: list[Worker] = []

    def run(self, trials: int | None = None) -> SearchResult:
        """Search in this process."""
        config = self.job.config.model_copy(update={"trials": trials or self.job.config.trials})
        return search(self.job.run, config, shards=self.job.shards, folder=self.root)

    def start(self, seconds: float = 0.0, never_above: float = math.inf, **environment: str) -> Worker:
        """A worker in a process of its own."""
        write_job(self.job, self.root / "job.json")
        formula = Formula(self.journal, seconds, never_above)
        log = self.root / f"said-{len(self.workers)}.txt"
        self.workers.append(Worker(self.root / "job.json", formula, log, environment))
        return self.workers[-1]

    def wait_for(self, trainings: int) -> None:
        """Until so many trainings have begun."""
        until = time.monotonic() + _WAIT_S
        while not self.journal.exists() or len(self.journal.read_text().split()) < trainings:
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.01)

    @property
    def study(self) -> optuna.Study:
        """The study as it is stored."""
        return load_study(self.job.config, self.root)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials."""
        return self.study.get_trials(deepcopy=False)

    def points(self) -> list[dict[str, Any]]:
        """Values tried by the finished trials, in the order in which they were drawn."""
        return [dict(trial.params) for trial in sorted(done(self.trials), key=origin)]
