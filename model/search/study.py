"""An Optuna study over the loss weights: held-out NME down, held-out macro-F1 up, never the weighted loss."""

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from model.config import SearchConfig, TrainRun, overlay
from model.errors import ConfigError, FaceError, ServiceError
from model.search import STORAGE
from model.storage import digest_bytes
from model.train.distributed import TrainingError
from model.train.loop import train

NME = "val/nme_interocular"
MACRO_F1 = "val/macro_f1"
HEARTBEAT_S = 10
GRACE_S = 60
OPENINGS = 4


@dataclass(frozen=True)
class SearchResult:
    """The trial picked from the Pareto front, as dotted names and values for params.yaml."""

    study: str
    finished: int
    trial: int
    values: dict[str, float]
    overrides: dict[str, Any]
    front: list[dict[str, Any]]


def search(
    run: TrainRun, config: SearchConfig, *, shards: Path, folder: Path, trials: int, worker: int = 0
) -> SearchResult:
    """Run trials until `trials` of the study are complete; a study of the same name is resumed.

    Several processes may call this on the same storage at once. A killed worker's trial is failed and retried after
    its heartbeat's grace. A trial whose losses do not stay finite counts as failed; after `trials` of those it ends.

    Args:
        worker: number of this process, so that several do not draw the same first trials.

    Raises:
        ConfigError: the space or the overrides name keys that training does not have, or a driver is missing.
        FaceError: no trial came to its end.
        ServiceError: the study's storage cannot be used.
    """
    study = open_study(config, folder, seed=run.seed + worker)

    def objective(trial: Trial) -> tuple[float, float]:
        trial_run = overlay(run, {**config.overrides, **suggest(trial, config)})
        metrics = train(trial_run, shards=shards, out=folder / "trials" / f"{trial.number:04d}").metrics
        return metrics[NME], metrics[MACRO_F1]

    with _reached(folder):
        optuna.storages.fail_stale_trials(study)
        if _finished(study) < trials:
            stops = [MaxTrialsCallback(trials, states=(state,)) for state in (TrialState.COMPLETE, TrialState.FAIL)]
            study.optimize(objective, callbacks=stops, catch=(TrainingError,), show_progress_bar=False)
        return summarise(study)


def study_digest(run: TrainRun, config: SearchConfig, data_digest: str) -> str:
    """Names what decides the outcome of a trial, so that other settings or data are another study."""
    parts = [run.model_dump(mode="json"), config.model_dump(mode="json", exclude={"study", "trials"}), data_digest]
    return digest_bytes(json.dumps(parts, sort_keys=True).encode())[:12]


def common_storage() -> None:
    """Workers that do not see the same folder need a database that they share.

    Raises:
        ConfigError: none is named.
    """
    if not os.environ.get(STORAGE):
        raise ConfigError(f"{STORAGE} is not set: each worker would search alone; name a database that all reach")


def open_study(config: SearchConfig, folder: Path, *, seed: int) -> optuna.Study:
    """Create or resume the study in the database of `RMTL_SEARCH_STORAGE`, else in `folder`/study.db.

    Raises:
        ConfigError: the database's driver is not installed.
        ServiceError: the storage is locked, damaged or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = os.environ.get(STORAGE) or f"sqlite:///{folder.resolve() / 'study.db'}"
    with _reached(folder):
        return optuna.create_study(
            study_name=config.study,
            storage=_open_storage(url),
            sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
            directions=["minimize", "maximize"],
            load_if_exists=True,
        )


@contextmanager
def _reached(folder: Path) -> Iterator[None]:
    """Failures of the database; its address and its own words may hold a password and are not repeated."""
    place = STORAGE if os.environ.get(STORAGE) else folder / "study.db"
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{place}: {error}; install the extra `postgres`") from error
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        kind = type(error.__cause__ or error).__name__
        raise ServiceError(f"{place}: {kind}; is it away, held by another process, or the disk full?") from None


def _open_storage(url: str) -> RDBStorage:
    """The database with its tables, which several workers may be making at the same moment."""
    for attempt in range(OPENINGS):
        try:
            return RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": GRACE_S}} if url.startswith("sqlite") else None,
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=2),
            )
        except SQLAlchemyError:
            if attempt + 1 == OPENINGS:
                raise
            time.sleep(1 + attempt)
    raise AssertionError


def suggest(trial: Trial, config: SearchConfig) -> dict[str, float]:
    """One point of the space: log-uniform in each range."""
    return {item.name: trial.suggest_float(item.name, item.low, item.high, log=True) for item in config.space}


def pick(front: Iterable[FrozenTrial]) -> FrozenTrial:
    """The front's trial nearest to its ideal point, both objectives scaled to the front's range; then lower NME."""
    trials = list(front)
    nme, f1 = ([trial.values[axis] for trial in trials] for axis in (0, 1))

    def distance(trial: FrozenTrial) -> tuple[float, float]:
        lost_nme = (trial.values[0] - min(nme)) / ((max(nme) - min(nme)) or 1.0)
        lost_f1 = (max(f1) - trial.values[1]) / ((max(f1) - min(f1)) or 1.0)
        return math.hypot(lost_nme, lost_f1), trial.values[0]

    return min(trials, key=distance)


def summarise(study: optuna.Study) -> SearchResult:
    """Front and pick of a study.

    Raises:
        FaceError: it has no finished trial.
    """
    if not study.best_trials:
        raise FaceError(f"study {study.study_name}: no trial came to its end; look at `search.space` and the log above")
    best = pick(study.best_trials)
    return SearchResult(
        study=study.study_name,
        finished=_finished(study),
        trial=best.number,
        values={NME: best.values[0], MACRO_F1: best.values[1]},
        overrides=dict(best.params),
        front=[{"trial": trial.number, "values": trial.values, "params": trial.params} for trial in study.best_trials],
    )


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
