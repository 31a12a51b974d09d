"""An Optuna study over the loss weights: held-out NME down, held-out macro-F1 up, never the weighted loss."""

import json
import logging
import time
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import Trial, TrialState

from model.config import SearchConfig, TrainRun
from model.data.faces import read_index
from model.errors import ConfigError, FaceError
from model.search.pick import SearchResult, summarise
from model.search.places import Places
from model.search.sampling import DrawSampler
from model.search.storage import AWAY, StudyStorage, kind_of, open_storage, reached
from model.search.training import Job, directions_of, train_trial
from model.search.trials import ERROR, LEFT, PLACE, all_trials, done, given_up, mend, origin
from model.storage import digest_bytes
from model.train.failure import LostPeerError, TrainingError

PATIENCE = 5
"""Graces that a worker waits for a database that is away."""

POLL_S = 0.5
LONGEST_PAUSE_S = 10.0

DIGEST = "digest"

logger = logging.getLogger(__name__)


class _Interrupted(BaseException):
    """Its cause ended a trial through no fault of its values.

    No `Exception`, which Optuna would catch to fail the trial for good; it stays running until its lock is found free.
    """


def search(run: TrainRun, config: SearchConfig, *, shards: Path, folder: Path, processes: int = 1) -> SearchResult:
    """Run trials until `search.trials` of the study are finished; a study of the same name is resumed.

    Several processes, here and elsewhere, may call this on the same study at once. A trial whose process dies is failed
    and taken up again: at once by a worker that sees its lock, else after `RMTL_SEARCH_GRACE_S`. A trial whose losses
    do not stay finite counts as failed; the search gives up after `search.trials` of those. A database that is away is
    waited for, and what was trained meanwhile is told when it is back.

    Args:
        processes: how many train one trial together.

    Raises:
        ConfigError: a wrong space, a study of the same name made with other settings or data, or a missing driver.
        FaceError: no trial came to its end.
        ServiceError: the study's storage cannot be used.
        TerminatedError: SIGTERM; the same call goes on from there.
    """
    job = Job(run, config, shards, Places(folder, config.study), processes)
    job.check()
    storage = open_storage(job.places)
    with reached(job.places):
        study = create_study(job, storage)
        _Worker(job, study, storage).work()
        return summarise(study, config)


def create_study(job: Job, storage: StudyStorage) -> optuna.Study:
    """The study of a job, made on first use.

    Raises:
        ConfigError: it was made with other settings or other data.
    """
    study = optuna.create_study(
        study_name=job.config.study,
        storage=storage,
        pruner=make_pruner(job.config, job.run_of({}).train.epochs),
        directions=directions_of(job.config),
        load_if_exists=True,
    )
    study.sampler = DrawSampler(study, job.config, seed=job.run.seed, hand_set=job.hand_set())
    digest = study_digest(job.run, job.config, read_index(job.shards)["data_digest"])
    found = study.user_attrs.get(DIGEST)
    if found is None:
        study.set_user_attr(DIGEST, digest)
    elif found != digest:
        raise ConfigError(
            f"search.study: {job.config.study} was made with other settings or data ({found}, now {digest}); "
            "give the new search another name"
        )
    return study


def load_study(config: SearchConfig, folder: Path) -> optuna.Study:
    """A study that is there, for reading and for the judge of a trial.

    Raises:
        ConfigError: there is none of this name.
        ServiceError: the storage cannot be used.
    """
    places = Places(folder, config.study)
    storage = open_storage(places)
    with reached(places):
        try:
            return optuna.load_study(study_name=config.study, storage=storage)
        except KeyError as error:
            raise ConfigError(f"search.study: no study {config.study} yet; run `rmtl search`") from error


def make_pruner(config: SearchConfig, epochs: int) -> BasePruner:
    """Halving keeps the better half after a quarter of the epochs, and after each doubling; Hyperband draws how early.

    Its brackets go by a trial's number, which a trial that is taken up again shifts.
    """
    first = max(1, round(epochs / 4))
    match config.pruner:
        case "none":
            return NopPruner()
        case "halving":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)
        case "hyperband":
            return HyperbandPruner(min_resource=first, max_resource=epochs, reduction_factor=2)


def study_digest(run: TrainRun, config: SearchConfig, data_digest: str) -> str:
    """Names what decides the outcome of a trial, so that other settings or data are another study."""
    parts = [run.model_dump(mode="json"), config.deciding(), data_digest]
    return digest_bytes(json.dumps(parts, sort_keys=True).encode())[:12]


class _Worker:
    """One process at work on a study."""

    def __init__(self, job: Job, study: optuna.Study, storage: StudyStorage) -> None:
        self._job = job
        self._study = study
        self._storage = storage
        self._away_since: float | None = None

    def work(self) -> None:
        """Train trials until the study has enough."""
        while True:
            try:
                if self._is_over():
                    return
                self._away_since = None
            except _Interrupted as interrupted:
                cause = interrupted.__cause__
                assert cause is not None
                if not isinstance(cause, AWAY):
                    raise cause from None
                self._wait_for_database(cause)
            except AWAY as error:
                self._wait_for_database(error)

    def _is_over(self) -> bool:
        """Do the next thing: train a trial, or wait while others train the last ones."""
        wanted = self._job.config.trials
        with ExitStack() as held, ExitStack() as turn:
            turn.enter_context(self._job.places.turn())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                optuna.storages.fail_stale_trials(self._study)
            mend(self._study)
            trials = all_trials(self._study)
            if len(done(trials)) >= wanted:
                return True
            if len(given_up(trials)) >= wanted:
                raise FaceError(
                    f"study {self._study.study_name}: {len(given_up(trials))} trials failed; look at `search.space` "
                    f"and at the first one's reason: {given_up(trials)[0].user_attrs.get(ERROR, 'its process died')}"
                )
            if len(done(trials)) + sum(trial.state == TrialState.RUNNING for trial in trials) < wanted:
                self._study.optimize(lambda trial: self._train(trial, held, turn), n_trials=1, catch=(TrainingError,))
                return False
        time.sleep(POLL_S)
        return False

    def _train(self, trial: Trial, held: ExitStack, turn: ExitStack) -> tuple[float, ...]:
        """The objective; gives up the turn as soon as all can see where the trial runs."""
        try:
            values = {
                item.name: trial.suggest_float(item.name, item.low, item.high, log=True)
                for item in self._job.config.space
            }
            self._storage.record_heartbeat(trial._trial_id)
            held.enter_context(self._job.places.hold(origin(trial)))
            trial.set_user_attr(PLACE, self._job.places.here)
            turn.close()
            logger.info("trial %d: %s", trial.number, values)
            return train_trial(trial, values, self._job)
        except optuna.TrialPruned:
            raise
        except BaseException as error:
            if isinstance(error, TrainingError) and not isinstance(error, LostPeerError):
                trial.set_user_attr(ERROR, str(error))
                raise
            with suppress(*AWAY):
                trial.set_user_attr(LEFT, type(error).__name__)
            raise _Interrupted from error

    def _wait_for_database(self, error: BaseException) -> None:
        """Pause, longer each time; what was trained lies in the trial's folder and is told later.

        Raises:
            StorageInternalError: the database was away for too long.
        """
        now = time.monotonic()
        self._away_since = self._away_since or now
        away = now - self._away_since
        if away > PATIENCE * (self._storage.grace_period or 0):
            raise error
        logger.warning("the study's database is away (%s); trying again", kind_of(error))
        time.sleep(min(max(0.5, away), LONGEST_PAUSE_S))
