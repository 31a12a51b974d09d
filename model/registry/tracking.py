"""Training on MLflow: one run a spool, uploaded while it grows, and again later what a dead server missed.

The spool (`metrics.jsonl`, written by training) is the truth; this module only copies it. A run carries the digest
of the spool's first two lines, and every point keeps the spool's own time, so copying twice changes nothing.
"""

import json
import logging
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param

from model.config import flatten
from model.registry.client import Store, open_store, redact_address
from model.storage import digest_bytes
from model.train.interrupt import TerminatedError
from model.weights import git_revision

SPOOL_TAG = "spool"
PUSH_S = 5.0
RETRY_S = 30.0
RETRY_MAX_S = 600.0

_METRICS_A_BATCH = 500
_PARAMS_A_BATCH = 100
_SECRET = re.compile(r"(^|[._-])(token|secret|password|passwd|credentials?|(api|access|secret|private)_?key)$", re.I)
_UNFIT = re.compile(r"[^\w./: -]", re.ASCII)

_logger = logging.getLogger(__name__)


@dataclass
class Spool:
    """What a spool file holds so far; a line cut off by a kill is not counted.

    Attributes:
        key: names the training; empty until its first metrics are written.
        points: `(name, step, time in ms, value)`, in file order.
    """

    key: str = ""
    params: dict[str, str] = field(default_factory=dict)
    points: list[tuple[str, int, int, float]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether the training did all of its epochs."""
        done = max((value for name, _, _, value in self.points if name == "epoch"), default=0.0)
        return str(int(done)) == self.params.get("train.epochs")

    def tells_of(self, config: Mapping[str, Any]) -> bool:
        """Whether a training of this configuration wrote it."""
        return self.params == _public(config)


class MlflowLog:
    """A `train.log.RunLog` that copies the spool to MLflow and never raises.

    It copies every `PUSH_S` at most. After a failure it waits `RETRY_S`, then twice as long each time, so that a dead
    server costs training seconds.
    """

    def __init__(self, experiment: str, *, spool: Path) -> None:
        self._experiment = experiment
        self._spool = spool
        self._run_id = ""
        self._sent = 0
        self._pause = RETRY_S
        self._next = 0.0

    def params(self, values: Mapping[str, Any]) -> None:
        """Copy what the spool holds; `values` reach MLflow through it."""
        self._copy()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Copy what the spool holds; `values` reach MLflow through it."""
        self._copy()

    def close(self, status: str) -> None:
        """Copy the rest and end the run as FINISHED, FAILED or KILLED."""
        self._next = 0.0
        self._copy(status)

    def _copy(self, status: str | None = None) -> None:
        if time.monotonic() < self._next:
            return
        try:
            with open_store() as store:
                self._run_id, self._sent = _upload(
                    store, self._experiment, read_spool(self._spool), (self._run_id, self._sent)
                )
                if status and self._run_id:
                    store.client.set_terminated(self._run_id, status)
            self._pause, self._next = RETRY_S, time.monotonic() + PUSH_S
        except Exception as error:  # noqa: BLE001 - no failure of tracking may cost a training
            _logger.warning("not tracked for now, `rmtl sync` uploads it later: %s", error)
            self._next = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, RETRY_MAX_S)


@contextmanager
def open_log(experiment: str, *, spool: Path) -> Iterator[MlflowLog]:
    """A log for one training; its run ends as the block does."""
    log = MlflowLog(experiment, spool=spool)
    status = "FAILED"
    try:
        yield log
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit, TerminatedError):
        status = "KILLED"
        raise
    finally:
        log.close(status)


def sync(experiment: str, *, spool: Path) -> str:
    """Upload what MLflow lacks of the spool of a training that has ended; a second call changes nothing.

    A run that still counts as running becomes FINISHED if all epochs are there, else KILLED.

    Returns:
        The id of the run, made if there was none; empty for a spool without metrics.

    Raises:
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        return sync_run(store, experiment, spool)


def sync_run(store: Store, experiment: str, spool: Path) -> str:
    """`sync` on a store already open."""
    found = read_spool(spool)
    run_id, _ = _upload(store, experiment, found, ("", 0))
    if run_id and store.client.get_run(run_id).info.status == "RUNNING":
        store.client.set_terminated(run_id, "FINISHED" if found.finished else "KILLED")
    return run_id


def read_spool(path: Path) -> Spool:
    """Parse the whole lines of a spool; a missing file is an empty spool, an unreadable line is left out."""
    spool = Spool()
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            _read_line(spool, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _logger.warning("%s, line %d is left out: %s", path, number, error)
    if spool.points:
        spool.key = digest_bytes(b"\n".join(lines[:2]))[:32]
    return spool


def find_run(store: Store, experiment_id: str, key: str) -> str:
    """The run that carries a spool's key, or an empty text."""
    runs = store.client.search_runs([experiment_id], f"tags.{SPOOL_TAG} = '{key}'", max_results=1)
    return str(runs[0].info.run_id) if runs else ""


def start_run(store: Store, experiment: str, key: str, started_ms: int | None = None) -> str:
    """The run of this key, made on first use."""
    experiment_id = store.experiment(experiment)
    tags = {SPOOL_TAG: key, "mlflow.source.git.commit": git_revision()}
    found = find_run(store, experiment_id, key)
    return found or str(store.client.create_run(experiment_id, started_ms, tags).info.run_id)


def log_params(store: Store, run_id: str, values: Mapping[str, Any]) -> None:
    """Log dotted names that the run lacks; values of secret-like names and passwords in addresses are hidden."""
    present = store.client.get_run(run_id).data.params
    params = [Param(name, value) for name, value in _public(values).items() if name not in present]
    for start in range(0, len(params), _PARAMS_A_BATCH):
        store.client.log_batch(run_id, params=params[start : start + _PARAMS_A_BATCH])


def log_points(store: Store, run_id: str, points: Iterable[tuple[str, int, int, float]]) -> None:
    """Log `(name, step, time in ms, value)`; the store keeps one of equal points."""
    metrics = [Metric(_UNFIT.sub("_", name), value, time_ms, step) for name, step, time_ms, value in points]
    for start in range(0, len(metrics), _METRICS_A_BATCH):
        store.client.log_batch(run_id, metrics=metrics[start : start + _METRICS_A_BATCH])


def _upload(store: Store, experiment: str, spool: Spool, state: tuple[str, int]) -> tuple[str, int]:
    run_id, sent = state
    if not spool.key:
        return state
    if not run_id:
        run_id = start_run(store, experiment, spool.key, started_ms=spool.points[0][2])
        log_params(store, run_id, spool.params)
        sent = 0
    log_points(store, run_id, spool.points[sent:])
    return run_id, len(spool.points)


def _read_line(spool: Spool, line: Mapping[str, Any]) -> None:
    if "params" in line:
        spool.params = _public(line["params"])
        return
    step, time_ms = int(line["step"]), int(1000 * float(line["time"]))
    values = [(name, float(value)) for name, value in line["values"].items() if value is not None]
    spool.points.extend((name, step, time_ms, value) for name, value in values if not math.isnan(value))


def _public(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: "***" if _SECRET.search(name) else redact_address(str(value)) for name, value in flatten(values).items()
    }
