"""One process at work on a study: it takes its turn, trains, tells, and outlives a database that is away."""

import logging
import shutil
import time
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from model.errors import FaceError
from model.search.storage import AWAY, StudyStorage, kind_of
from model.search.training import Job, train_trial
from model.search.trials import DOUBLE, ERROR, LEFT, PLACE, all_trials, done, given_up, is_double, mend, origin
from model.train.checkpoint import FOLDER
from model.train.failure import LostPeerError, TrainingError

PATIENCE = 5
"""Graces that a worker waits for a database that is away."""

POLL_S = 0.5
LONGEST_PAUSE_S = 10.0

# How Optuna refuses to tell of a trial that somebody else has ended, by what it was doing.
_OVERTAKEN = (UpdateFinishedTrialError, ValueError, AssertionError)

logger = logging.getLogger(__name__)


class _Interrupted(BaseException):
    """Its cause ended a trial through no fault of its values.

    No `Exception`, which Optuna would catch to fail the trial for good; it stays running until its lock is found free.
    """


class Worker:
    """One process at work on a study."""

    def __init__(self, job: Job, study: optuna.Study, storage: StudyStorage) -> None:
        self._job = job
        self._study = study
        self._storage = storage
        self._away_since: float | None = None
        self._folder: Path | None = None

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
                if isinstance(cause, AWAY):
                    self._wait_for_database(cause)
                elif not isinstance(cause, UpdateFinishedTrialError):
                    raise cause from None
            except AWAY as error:
                self._wait_for_database(error)
            except UnboundLocalError as error:
                # Where Optuna can neither tell nor ask, its clean-up reads the answer that never came.
                if not isinstance(error.__context__, AWAY):
                    raise
                self._wait_for_database(error.__context__)
            except _OVERTAKEN as error:
                logger.warning(
                    "a trial was failed elsewhere while it ran here (%s); its repeat goes on from there", error
                )

    def _is_over(self) -> bool:
        """Do the next thing: train a trial, or wait while others train the last ones."""
        wanted = self._job.config.trials
        self._folder = None
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
                self._forget_checkpoint()
                return False
        time.sleep(POLL_S)
        return False

    def _train(self, trial: Trial, held: ExitStack, turn: ExitStack) -> tuple[float, ...]:
        """The objective; gives up the turn as soon as all can see where the trial runs."""
        if is_double(trial, all_trials(self._study)):
            trial.set_user_attr(DOUBLE, True)
            raise TrainingError(f"trial {trial.number}: trial {origin(trial)} is repeated by another one already")
        try:
            values = {
                item.name: trial.suggest_float(item.name, item.low, item.high, log=True)
                for item in self._job.config.space
            }
            self._storage.record_heartbeat(trial._trial_id)
            held.enter_context(self._job.places.hold(origin(trial)))
            self._folder = self._job.places.trial(origin(trial))
            trial.set_user_attr(PLACE, self._job.places.here)
            turn.close()
            logger.info("trial %d: %s", trial.number, values)
            return train_trial(trial, values, self._job)
        except optuna.TrialPruned:
            raise
        except LostPeerError:
            # Failed as if this process had died: the repeat needs the checkpoint, and too many deaths are given up.
            self._folder = None
            raise
        except BaseException as error:
            if isinstance(error, TrainingError):
                trial.set_user_attr(ERROR, str(error))
                raise
            with suppress(*AWAY, UpdateFinishedTrialError):
                trial.set_user_attr(LEFT, type(error).__name__)
            raise _Interrupted from error

    def _forget_checkpoint(self) -> None:
        """The trial is told and never goes on; its weights and curves stay."""
        if self._folder is not None:
            shutil.rmtree(self._folder / FOLDER, ignore_errors=True)

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
