"""Follow a run to its end: the states of its tasks, and how it ended."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any

from model.errors import FaceError, ServiceError
from pipelines.failure import details_of, failure_of
from pipelines.server import Connection, OutageError, present
from pipelines.submit import run_url

SUCCEEDED = "SUCCEEDED"
FAILED = ("FAILED", "ERROR")
SETTLED = frozenset({SUCCEEDED, *FAILED, "SKIPPED", "CANCELED"})
WAITING = "waiting"

# A task has several nodes where a loop repeats it; the first of these that one of them is in stands for all.
_LOUDEST = (*FAILED, "RUNNING", "PENDING", "CANCELING", "CANCELED", "PAUSED", SUCCEEDED, "SKIPPED")


@dataclass(frozen=True)
class Task:
    """One row of the table; `seconds` is null before the task begins."""

    name: str
    state: str = WAITING
    seconds: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `failure` is null where it succeeded, and carries the exit code of the step that failed."""

    state: str
    tasks: Sequence[Task]
    failure: FaceError | None


@dataclass(frozen=True)
class Patience:
    """How often to ask, and how long an outage of the server may last."""

    pace_s: float
    outage_s: float


PATIENCE = Patience(pace_s=5.0, outage_s=600.0)


def follow(
    run_id: str,
    connection: Connection,
    *,
    show: Callable[[Sequence[Task]], None],
    say: Callable[[str], None],
    patience: Patience | None = None,
) -> Outcome:
    """Ask until the run has ended, hand each picture of it to `show`, and tell outages by `say`.

    Raises:
        ServiceError: the server was away for longer than `patience` allows, or refuses the token; the run goes on.
    """
    steps: list[str] | None = None
    patience = patience or PATIENCE
    while True:
        run = _patiently(lambda: _run(run_id, connection), run_id, connection, say=say, patience=patience)
        steps = _steps(run, connection) if steps is None else steps
        tasks = summarize(run, steps)
        show(tasks)
        if run.state in SETTLED:
            failed = [task.name for task in tasks if task.state in FAILED]
            failure = None if run.state == SUCCEEDED else failure_of(run, failed, connection)
            return Outcome(run.state, tasks, failure)
        time.sleep(patience.pace_s)


def summarize(run: Any, steps: Sequence[str]) -> list[Task]:
    """The steps of a pipeline as the nodes of a run have them."""
    nodes: dict[str, list[Any]] = {name: [] for name in steps}
    for detail in details_of(run):
        name = (detail.display_name or "").removesuffix("-driver")
        if name in nodes and (detail.display_name == name or detail.state in FAILED):
            nodes[name].append(detail)
    return [_task(name, found) for name, found in nodes.items()]


def step_names(spec: Any) -> list[str]:
    """Names of the tasks that do work, in an order in which they can run; empty where the pipeline is not known."""
    spec = spec.get("pipeline_spec", spec) if isinstance(spec, Mapping) else {}

    def walk(dag: Any) -> Iterator[str]:
        tasks = dag["tasks"]
        order = TopologicalSorter({name: task.get("dependentTasks", ()) for name, task in tasks.items()})
        for name in order.static_order():
            component = spec["components"][tasks[name]["componentRef"]["name"]]
            if "dag" in component:
                yield from walk(component["dag"])
            else:
                yield name

    try:
        return list(dict.fromkeys(walk(spec["root"]["dag"])))
    except (KeyError, TypeError, AttributeError, CycleError):
        return []


def _patiently(
    ask: Callable[[], Any], run_id: str, connection: Connection, *, say: Callable[[str], None], patience: Patience
) -> Any:
    began, pause = time.monotonic(), min(1.0, patience.pace_s)
    while True:
        try:
            return ask()
        except OutageError as error:
            if time.monotonic() - began + pause > patience.outage_s:
                raise OutageError(f"{error}; {left_running(run_id, connection)}") from error
            say(f"asking again in {pause:.0f} s: {error}")
            time.sleep(pause)
            pause = min(2 * pause, 30.0)
        except ServiceError as error:
            raise ServiceError(f"{error}; {left_running(run_id, connection)}") from error


def left_running(run_id: str, connection: Connection) -> str:
    """What a user has to know who stops following."""
    return f"the run goes on: {run_url(run_id, connection)}; look again with `rmtl pipeline follow {run_id}`"


def _run(run_id: str, connection: Connection) -> Any:
    run = connection.ask(connection.client.runs.run_service_get_run, run_id=run_id)
    present(run, "run_id", connection.server)
    return run


def _steps(run: Any, connection: Connection) -> list[str]:
    spec, reference = run.pipeline_spec, run.pipeline_version_reference
    if not spec and reference:
        method = connection.client.pipelines.pipeline_service_get_pipeline_version
        where = {"pipeline_id": reference.pipeline_id, "pipeline_version_id": reference.pipeline_version_id}
        try:
            spec = connection.ask(method, **where).pipeline_spec
        except FaceError:
            spec = None  # the table is a help; a run can be followed without
    return step_names(spec)


def _task(name: str, nodes: Sequence[Any]) -> Task:
    if not nodes:
        return Task(name)
    states = {node.state for node in nodes}
    state = next((state for state in _LOUDEST if state in states), str(nodes[-1].state))
    begun = [node.start_time for node in nodes if node.start_time and node.start_time.year > 1970]
    if not begun:
        return Task(name, state)
    ended = [node.end_time for node in nodes if node.end_time and node.end_time.year > 1970]
    last = max(ended) if ended and state in SETTLED else datetime.now(UTC)
    return Task(name, state, max(0, round((last - min(begun)).total_seconds())))
