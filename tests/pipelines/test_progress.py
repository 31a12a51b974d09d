"""Following a run to its end, against the stand-in of the server."""

import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kfp_server_api.models import V2beta1PipelineTaskDetail, V2beta1Run, V2beta1RunDetails

from model.errors import ServiceError
from pipelines.progress import Outcome, Patience, Task, follow, step_names, summarize
from pipelines.server import Connection
from pipelines.submit import Run
from pipelines.table import changes
from tests.kfp_nodes import Frame
from tests.kfp_rules import parse_yaml
from tests.kfp_server import Faults, KfpServer
from tests.pipelines.conftest import Ended
from tests.pipelines.small import STEPS

pytestmark = pytest.mark.service

FAST = Patience(pace_s=0.02, outage_s=20)
RUNNING = Frame("RUNNING", {"fetch": "SUCCEEDED", "train": "RUNNING"})
SUCCEEDED = Frame("SUCCEEDED", dict.fromkeys(STEPS, "SUCCEEDED"))
FAILED = Frame("FAILED", {"fetch": "SUCCEEDED", "train": "FAILED", "report": "SUCCEEDED"})


def followed(run: Run, connection: Connection, patience: Patience = FAST) -> tuple[Outcome, list[str]]:
    """How a run ended, and what was told meanwhile."""
    out = io.StringIO()
    with changes(out) as (show, say):
        outcome = follow(run.run_id, connection, show=show, say=say, patience=patience)
    return outcome, out.getvalue().splitlines()


def test_a_run_that_succeeds_is_told_change_by_change(kfp: KfpServer, run: Run, connection: Connection) -> None:
    kfp.script = [Frame("PENDING"), RUNNING, RUNNING, SUCCEEDED]
    outcome, lines = followed(run, connection)
    assert outcome.failure is None
    assert outcome.state == "SUCCEEDED"
    assert [task.name for task in outcome.tasks] == STEPS
    assert [line.split("  ")[:2] for line in lines] == [
        ["fetch", "succeeded"],
        ["train", "running"],
        ["train", "succeeded"],
        ["report", "succeeded"],
    ]


def test_a_server_that_comes_back_is_asked_on(kfp: KfpServer, run: Run, connection: Connection) -> None:
    """T20, for the Kubeflow server."""
    kfp.script = [RUNNING] * 5 + [SUCCEEDED]
    kfp.stop()
    back = threading.Timer(0.5, kfp.start)
    back.start()
    outcome, lines = followed(run, connection)
    back.join()
    assert outcome.failure is None
    assert any("asking again" in line for line in lines)


@pytest.mark.parametrize("faults", [Faults(statuses=[503, 429, 502, 500]), Faults(drops=3)], ids=["busy", "hangs up"])
def test_short_faults_are_survived(kfp: KfpServer, run: Run, connection: Connection, faults: Faults) -> None:
    kfp.script = [SUCCEEDED]
    kfp.faults = faults
    assert followed(run, connection)[0].failure is None


def test_a_long_outage_ends_the_waiting_and_says_that_the_run_goes_on(
    kfp: KfpServer, run: Run, connection: Connection
) -> None:
    kfp.stop()
    with pytest.raises(ServiceError, match=rf"the run goes on.*rmtl pipeline follow {run.run_id}"):
        followed(run, connection, Patience(pace_s=0.02, outage_s=0.3))


def test_a_token_that_ends_meanwhile_is_told_at_once(kfp: KfpServer, run: Run, connection: Connection) -> None:
    kfp.faults.statuses = [401]
    with pytest.raises(ServiceError, match="the run goes on"):
        followed(run, connection)


def test_a_run_that_is_not_there_is_a_wrong_request(kfp: KfpServer, command: Callable[..., Ended]) -> None:
    ended = command("follow", "nobody")
    assert ended.failure is not None
    assert ended.failure.exit_code == 2
    assert "Run nobody not found" in str(ended.failure)


def test_steps_come_in_an_order_in_which_they_can_run(small_package: Path) -> None:
    assert step_names(parse_yaml(small_package.read_text()).as_json()) == STEPS
    assert step_names(None) == []
    assert step_names({"root": {"dag": {"tasks": {"a": {}}}}}) == []


def test_tasks_of_a_loop_share_a_row_which_shows_the_loudest() -> None:
    now = datetime.now(UTC)
    times = {"start_time": now - timedelta(seconds=60), "end_time": now}
    states = ("SUCCEEDED", "FAILED", "SUCCEEDED")
    nodes = [V2beta1PipelineTaskDetail(display_name="worker", state=state, **times) for state in states]
    run = V2beta1Run(run_details=V2beta1RunDetails(task_details=nodes))
    assert summarize(run, ["worker", "choose"]) == [Task("worker", "FAILED", 60), Task("choose")]
