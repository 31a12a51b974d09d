"""One trial: its configuration, its training in this process or in several, and the judge that may cut it short."""

import csv
import logging
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import Trial

from model.config import SearchConfig, TrainRun, flatten, overlay
from model.data.faces import read_index
from model.errors import ConfigError
from model.launch.outcome import result_of, with_restarts
from model.launch.settings import read_restarts
from model.launch.step import run_child
from model.search import MACRO_F1, NME
from model.search.places import Places
from model.search.storage import AWAY, kind_of
from model.search.trials import METRICS, PRUNED_AT, SECONDS, all_trials, origin
from model.storage import read_json, write_json
from model.train.checkpoint import FOLDER, STATE_FILE
from model.train.interrupt import on_sigterm
from model.train.loop import never, train
from model.train.spool import HISTORY_FILE
from model.train.validation import score

_STEPS = "train.steps_per_epoch"
_NEEDED = {"nme": {"landmarks"}, "macro_f1": {"expression"}, "pareto": {"landmarks", "expression"}}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What all trials of a study share; `processes` is the number that train one trial together."""

    run: TrainRun
    config: SearchConfig
    shards: Path
    places: Places
    processes: int = 1

    def run_of(self, values: Mapping[str, float]) -> TrainRun:
        """Configuration of a trial: cheap by `overrides` and `fraction`, with its values laid over it.

        Where the overrides name the steps of an epoch, the fraction leaves them alone.

        Raises:
            ConfigError: the space or the overrides name keys that training does not have.
        """
        given = {**self.config.overrides, **values}
        run = overlay(self.run, given)
        if self.config.fraction == 1 or _STEPS in given:
            return run
        return overlay(run, {_STEPS: max(1, round(self._steps(run)))})

    def _steps(self, run: TrainRun) -> float:
        """The `fraction` of an epoch."""
        if run.train.steps_per_epoch:
            return self.config.fraction * run.train.steps_per_epoch
        return self.config.fraction * int(read_index(self.shards)["faces"]["train"]) / run.train.batch_size

    def hand_set(self) -> dict[str, float]:
        """Values of params.yaml in the searched space; empty where `warm_start` is off.

        Raises:
            ConfigError: one of them lies outside its range.
        """
        if not self.config.warm_start:
            return {}
        given = flatten({"train": self.run.train.model_dump()})
        for item in self.config.space:
            if not item.low <= given.get(item.name, item.low) <= item.high:
                raise ConfigError(
                    f"search.space: {item.name} is {given[item.name]} in params.yaml, not {item.low} to {item.high}; "
                    "widen the range, or turn search.warm_start off"
                )
        return {item.name: float(given[item.name]) for item in self.config.space}

    def check(self) -> None:
        """Try the ends of the space, and a point between them, on the configuration, before any training.

        Raises:
            ConfigError: a key that training does not have or that takes whole numbers, a range that a value may not
                have, or a missing task.
        """
        for share in (0.0, 1.0, 1 / math.pi):
            self.run_of({item.name: item.low + share * (item.high - item.low) for item in self.config.space})
        missing = _NEEDED.get(self.config.objective, set()) - set(self.run.train.net.tasks)
        if missing:
            raise ConfigError(
                f"search.objective: {self.config.objective} needs {' and '.join(sorted(missing))} in train.net.tasks"
            )
        self.hand_set()


class Judge:
    """Asked after each validation: reports to the study, and says whether the trial is to stop there."""

    def __init__(self, trial: Trial, config: SearchConfig) -> None:
        self._trial = trial
        self._config = config

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether to stop. A database that is away stops nobody."""
        try:
            self._trial.report(values_of(self._config, metrics)[0], epoch + 1)
            if not self._trial.should_prune():
                return False
            self._trial.set_user_attr(PRUNED_AT, epoch + 1)
        except AWAY as error:
            logger.warning("trial %d is not judged after epoch %d: %s", self._trial.number, epoch + 1, kind_of(error))
            return False
        return True

    def catch_up(self, out: Path) -> bool:
        """Report the epochs that a former process did before it was killed; whether it was to stop in one of them.

        An epoch in the history that no checkpoint holds is trained once more, and judged then.
        """
        path, state = out / HISTORY_FILE, out / FOLDER / STATE_FILE
        if not (path.is_file() and state.is_file()):
            return False
        kept = int(read_json(state)["progress"]["epoch"])
        for row in csv.DictReader(path.read_text().splitlines()):
            held = {name: float(row[name]) for name in (NME, MACRO_F1) if row.get(name)}
            if held and int(row["epoch"]) <= kept and self(int(row["epoch"]) - 1, held):
                return True
        return False


def values_of(config: SearchConfig, metrics: Mapping[str, float]) -> tuple[float, ...]:
    """What a trial is judged by, in the order of `directions_of`."""
    known = {"nme": metrics.get(NME, math.inf), "macro_f1": metrics.get(MACRO_F1, 0.0), "score": score(dict(metrics))}
    names = ("nme", "macro_f1") if config.objective == "pareto" else (config.objective,)
    return tuple(known[name] for name in names)


def directions_of(config: SearchConfig) -> list[Literal["minimize", "maximize"]]:
    """Whether each value is to be low or high."""
    match config.objective:
        case "pareto":
            return ["minimize", "maximize"]
        case "nme":
            return ["minimize"]
        case _:
            return ["maximize"]


def train_trial(trial: Trial, values: Mapping[str, float], job: Job) -> tuple[float, ...]:
    """Train with these values, on from where a former process was cut off; what the trial is judged by.

    Raises:
        TrialPruned: the judge stopped it.
        TrainingError: the losses do not stay finite.
        FaceError: whatever else ended the training.
    """
    began = time.monotonic()
    out = job.places.trial(origin(trial))
    judge = None if job.config.pruner == "none" else Judge(trial, job.config)
    if judge is not None and judge.catch_up(out):
        metrics = result_of(out).metrics
    elif job.processes == 1:
        metrics = train(job.run_of(values), shards=job.shards, out=out, stop=judge or never).metrics
    else:
        metrics = _train_together(trial, values, job, out)
    trial.set_user_attr(METRICS, metrics)
    trial.set_user_attr(SECONDS, round(time.monotonic() - began, 2))
    # The judge may sit in another process, so the database is asked.
    pruned_at = all_trials(trial.study)[trial.number].user_attrs.get(PRUNED_AT)
    if pruned_at is not None:
        raise optuna.TrialPruned(f"after epoch {pruned_at}")
    return values_of(job.config, metrics)


def _train_together(trial: Trial, values: Mapping[str, float], job: Job, out: Path) -> dict[str, float]:
    """Train in processes of torchrun, the leading one of which asks the study; the metrics of the best epoch."""
    with tempfile.TemporaryDirectory(prefix="rmtl-trial-") as folder, on_sigterm() as notice:
        task, failure = Path(folder) / "task.json", Path(folder) / "failure.json"
        write_json(task, task_of(trial, values, job, out))
        command = [sys.executable, "-m", "model.search.team", str(task), f"--processes={job.processes}"]
        with_restarts(lambda: run_child(command, failure, notice), read_restarts())
    return result_of(out).metrics


def task_of(trial: Trial, values: Mapping[str, float], job: Job, out: Path) -> dict[str, Any]:
    """What the processes of a trial need to know, in plain values."""
    return {
        "run": job.run_of(values).model_dump(mode="json"),
        "search": job.config.model_dump(mode="json"),
        "number": trial.number,
        "origin": origin(trial),
        "root": str(job.places.root),
        "shards": str(job.shards),
        "out": str(out),
    }
