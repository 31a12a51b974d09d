"""A search on MLflow: a run of the study, and below it one run a trial, made from the study and the trials' spools.

Whoever watches the study tells it again and again; what MLflow has already is left alone, so a dead server costs
nothing but the runs of that time, which the next `rmtl search` adds.
"""

import logging
import os
import time
from collections.abc import Sequence

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from optuna.trial import FrozenTrial, TrialState

from model.config import SearchConfig, flatten
from model.registry.client import Store, open_store
from model.registry.tracking import RETRY_MAX_S, RETRY_S, log_params, log_points, start_run, sync_run
from model.search import STORAGE
from model.search.pick import SearchResult, metrics_of
from model.search.places import Places
from model.search.trials import DONE, SECONDS, given_up, origin
from model.storage import digest_bytes
from model.train.spool import SPOOL_FILE

STUDY_TAG = "search.study"
TRIAL_TAG = "search.trial"
STATE_TAG = "search.state"
PICK_TAG = "search.pick"

_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}

_logger = logging.getLogger(__name__)


class StudyRuns:
    """Never raises: no failure of tracking may cost a search.

    Args:
        digest: of the study's settings and data (`model.search.study.digest_of`), so that another study of the same
            name has a run of its own; empty where the name tells it.
        places: where trials of the study were trained, as far as they can be seen from here; curves of other trials
            are left out.
    """

    def __init__(self, experiment: str, config: SearchConfig, *places: Places, digest: str) -> None:
        self._experiment = experiment
        self._config = config
        self._digest = digest
        self._places = places
        self._parent = ""
        self._told: set[int] = set()
        self._pause = RETRY_S
        self._next = 0.0

    def tell(self, trials: Sequence[FrozenTrial]) -> None:
        """Add the runs of trials that are finished, or failed for good, and not told yet."""
        lost = {trial.number for trial in given_up(trials)}
        ended = [trial for trial in trials if trial.state in DONE or trial.number in lost]
        fresh = [trial for trial in ended if trial.number not in self._told]
        if not fresh or time.monotonic() < self._next:
            return
        try:
            with open_store() as store:
                for trial in fresh:
                    self._tell(store, trial)
                    self._told.add(trial.number)
            self._pause = RETRY_S
        except Exception as error:  # noqa: BLE001 - see the class
            _logger.warning("the trials are not tracked for now: %s", error)
            self._next = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, RETRY_MAX_S)

    def close(self, result: SearchResult) -> None:
        """End the study's run with the choice as its tags and metrics."""
        try:
            with open_store() as store:
                parent = self._start_parent(store)
                chosen = {f"{PICK_TAG}.{name}": f"{value:.6g}" for name, value in result.overrides.items()}
                tags = {PICK_TAG: result.rule, f"{PICK_TAG}.trial": str(result.trial), **chosen}
                for name, value in tags.items():
                    store.client.set_tag(parent, name, value)
                began = store.client.get_run(parent).info.start_time
                log_points(store, parent, [(name, 0, began, value) for name, value in result.values.items()])
                store.client.set_terminated(parent)
        except Exception as error:  # noqa: BLE001 - see the class
            _logger.warning("the choice is not tracked; `rmtl search` again adds it: %s", error)

    def _tell(self, store: Store, trial: FrozenTrial) -> None:
        parent = self._start_parent(store)
        spools = [place.trial(origin(trial)) / SPOOL_FILE for place in self._places]
        spool = next((path for path in spools if path.is_file()), spools[0])
        run = (
            self._find(store, parent, trial.number)
            or sync_run(store, self._experiment, spool)
            or start_run(store, self._experiment, self._key(trial.number))
        )
        tags = {
            MLFLOW_PARENT_RUN_ID: parent,
            MLFLOW_RUN_NAME: f"{self._config.study} {trial.number}",
            STUDY_TAG: self._config.study,
            TRIAL_TAG: str(trial.number),
            STATE_TAG: trial.state.name.lower(),
        }
        for name, value in tags.items():
            store.client.set_tag(run, name, value)
        log_params(store, run, trial.params)
        began = int(1000 * trial.datetime_start.timestamp()) if trial.datetime_start else 0
        values = {f"best/{name.partition('/')[2]}": value for name, value in metrics_of(trial).items()}
        values["seconds"] = trial.user_attrs.get(SECONDS, 0.0)
        log_points(store, run, [(name, 0, began, value) for name, value in values.items()])
        store.client.set_terminated(run, _STATUS[trial.state])

    def _find(self, store: Store, parent: str, number: int) -> str:
        """The trial's run, also where another machine that watches the study has told of it; else an empty text."""
        wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and tags.`{TRIAL_TAG}` = '{number}'"
        runs = store.client.search_runs([store.experiment(self._experiment)], wanted, max_results=1)
        return str(runs[0].info.run_id) if runs else ""

    def _start_parent(self, store: Store) -> str:
        if not self._parent:
            run = start_run(store, self._experiment, self._key(-1))
            store.client.set_tag(run, MLFLOW_RUN_NAME, self._config.study)
            store.client.set_tag(run, STUDY_TAG, self._config.study)
            log_params(store, run, {f"search.{name}": value for name, value in flatten(self._values()).items()})
            self._parent = run
        return self._parent

    def _values(self) -> dict[str, object]:
        values = self._config.model_dump(mode="json")
        ranges = {item.name: f"{item.low:g} to {item.high:g}" for item in self._config.space}
        return {**values, "space": ranges}

    def _key(self, number: int) -> str:
        # A study that machines share has one run, whoever tells of it.
        scope = STORAGE if os.environ.get(STORAGE) else self._places[0].here
        return digest_bytes(f"{scope} {self._config.study} {self._digest} {number}".encode())[:32]
