"""The database of a study: SQLite beside the trials, or a server that several machines share."""

import logging
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from model.environment import whole_number
from model.errors import ConfigError, ServiceError
from model.search import STORAGE
from model.search.places import Places
from model.search.trials import PLACE, origin

GRACE_S = 60
"""Seconds without a sign of life after which a trial on another machine counts as dead, and that a lock is waited for;
`RMTL_SEARCH_GRACE_S` names others."""

AWAY = (StorageInternalError, SQLAlchemyError)
"""What Optuna raises when the database cannot be reached."""

CONNECT_S = 10
OPENINGS = 4

logger = logging.getLogger(__name__)


class StudyStorage(RDBStorage):
    """Optuna's own, where signs of life and locks together say which trial is dead.

    A sign of life that cannot be written does not end the signs, and a trial of this place is judged by its lock: it
    lives as long as its process, and not a second longer.
    """

    def __init__(self, url: str, places: Places, **options: Any) -> None:
        super().__init__(url, **options)
        self._places = places
        # Steps of a pipeline on one machine share a file, too, each with a place of its own.
        self._shared = bool(os.environ.get(STORAGE)) or not url.startswith("sqlite")
        self._silent_since: dict[int, float] = {}
        self._away_at = float("-inf")

    def record_heartbeat(self, trial_id: int) -> None:
        """Write a sign of life, unless the database is away."""
        try:
            super().record_heartbeat(trial_id)
        except AWAY as error:
            self._away_at = time.monotonic()
            logger.warning("no sign of life could be written, the next one follows: %s", kind_of(error))

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        assert self.grace_period is not None
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        # After an outage the others need the time to write their next sign.
        recovering = time.monotonic() - self._away_at < self.grace_period
        stale = [] if recovering else super()._get_stale_trial_ids(study_id)
        return [trial._trial_id for trial in running if self._is_dead(trial, set(stale))]

    def _is_dead(self, trial: FrozenTrial, stale: set[int]) -> bool:
        place = trial.user_attrs.get(PLACE)
        if place == self._places.here:
            return not self._places.is_held(origin(trial))
        if place is None and not self._shared:
            # Whoever asks holds the turn until its trial has a place.
            return True
        if place is None:
            since = self._silent_since.setdefault(trial._trial_id, time.monotonic())
            return time.monotonic() - since > (self.grace_period or 0)
        return trial._trial_id in stale


def open_storage(places: Places) -> StudyStorage:
    """The database of `RMTL_SEARCH_STORAGE`, else `study.db`, with its tables.

    Raises:
        ConfigError: the database's driver is not installed.
        ServiceError: it is locked, damaged, away or cannot be written.
    """
    _speak_through_our_logging()
    url = os.environ.get(STORAGE) or f"sqlite:///{places.database.resolve()}"
    grace = whole_number("RMTL_SEARCH_GRACE_S", GRACE_S, least=2, most=86_400)
    with reached(places):
        if url.startswith("sqlite"):
            _let_readers_read(Path(url.removeprefix("sqlite:///")), grace)
        return _make_tables(url, places, grace)


def common_storage() -> None:
    """Workers that do not see the same folder need a database that they share.

    Raises:
        ConfigError: none is named.
    """
    if not os.environ.get(STORAGE):
        raise ConfigError(f"{STORAGE} is not set: each worker would search alone; name a database that all reach")


@contextmanager
def reached(places: Places) -> Iterator[None]:
    """Failures of the database; its address and its own words may hold a password and are not repeated."""
    place = STORAGE if os.environ.get(STORAGE) else places.database
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{place}: {error}; install the extra `postgres`") from error
    except (*AWAY, sqlite3.Error) as error:
        raise ServiceError(
            f"{place}: {kind_of(error)}; is it away, held by another process, or the disk full?"
        ) from None


def kind_of(error: BaseException) -> str:
    """Name of what went wrong."""
    return type(error.__cause__ or error).__name__


def _make_tables(url: str, places: Places, grace: int) -> StudyStorage:
    """Several workers may be making them at the same moment."""
    for attempt in range(OPENINGS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return StudyStorage(
                    url,
                    places,
                    engine_kwargs={"pool_pre_ping": True, "connect_args": _connect_options(url, grace)},
                    heartbeat_interval=max(1, grace // 6),
                    grace_period=grace,
                )
        except SQLAlchemyError:
            if attempt + 1 == OPENINGS:
                raise
            time.sleep(1 + attempt)
    raise AssertionError


def _connect_options(url: str, grace: int) -> dict[str, Any]:
    """How long a lock or a silent server is waited for."""
    if url.startswith("sqlite"):
        return {"timeout": grace}
    if url.startswith("postgres"):
        return {"connect_timeout": CONNECT_S, "tcp_user_timeout": 1000 * max(grace, CONNECT_S)}
    return {}


def _let_readers_read(path: Path, grace: int) -> None:
    """Write-ahead logging: a reader never waits for a writer. The file remembers it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=grace)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _speak_through_our_logging() -> None:
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
