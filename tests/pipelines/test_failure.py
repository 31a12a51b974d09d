"""Why a run failed and with which exit code, against the stand-in of the server."""

from dataclasses import asdict
from pathlib import Path

import pytest

from components.journal import Entry
from model.errors import FaceError
from model.storage import write_json
from pipelines.failure import exit_code, last_words
from pipelines.progress import Patience, follow
from pipelines.server import Connection
from pipelines.submit import Run
from tests.kfp_nodes import Frame, node_of, step_log
from tests.kfp_server import KfpServer

pytestmark = pytest.mark.service

RUNNING = Frame("RUNNING", {"fetch": "SUCCEEDED", "train": "RUNNING"})
FAILED = Frame("FAILED", {"fetch": "SUCCEEDED", "train": "FAILED", "report": "SUCCEEDED"})


def failure(run: Run, connection: Connection) -> FaceError:
    """What following a run ends with."""
    fast = Patience(pace_s=0.02, outage_s=20)
    outcome = follow(run.run_id, connection, show=lambda _: None, say=lambda _: None, patience=fast)
    assert outcome.failure is not None
    return outcome.failure


def entry(step: str, started: float, code: int, *, attempt: int = 1, message: str = "") -> Entry:
    """One try of a step in the journal."""
    return Entry(
        step=step,
        key=step,
        attempt=attempt,
        started=started,
        seconds=1.0,
        cpu_seconds=1.0,
        memory_mb=1.0,
        cores=1,
        gpus=0,
        exit_code=code,
        message=message,
    )


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_the_code_of_the_failed_step_is_the_code_of_the_run(
    kfp: KfpServer, run: Run, connection: Connection, code: int
) -> None:
    kfp.script = [RUNNING, FAILED]
    kfp.logs[node_of("train")] = step_log(code)
    found = failure(run, connection)
    assert found.exit_code == code
    assert "failed at train: validate: 12 of 100 rows over budget" in str(found)
    assert run.url in str(found)


@pytest.mark.parametrize("log", [None, step_log(1), step_log(137), "no words of ours\n", ""])
def test_a_failure_that_tells_no_code_of_ours_is_1(
    kfp: KfpServer, run: Run, connection: Connection, log: str | None
) -> None:
    kfp.script = [FAILED]
    if log is not None:
        kfp.logs[node_of("train")] = log
    found = failure(run, connection)
    assert found.exit_code == 1
    assert "failed at train" in str(found)


def test_a_code_in_the_servers_own_words_counts(kfp: KfpServer, run: Run, connection: Connection) -> None:
    kfp.script = [Frame("FAILED", {"train": "FAILED"}, error="train: Error (exit code 4)")]
    found = failure(run, connection)
    assert found.exit_code == 4


def test_a_step_whose_driver_failed_is_named(kfp: KfpServer, run: Run, connection: Connection) -> None:
    kfp.script = [Frame("FAILED", {"fetch": "SUCCEEDED", "train-driver": "FAILED"})]
    assert "failed at train" in str(failure(run, connection))


@pytest.mark.parametrize(("state", "words"), [("CANCELED", "cancelled"), ("SKIPPED", "skipped")])
def test_a_run_that_did_not_run_to_its_end_is_1(
    kfp: KfpServer, run: Run, connection: Connection, state: str, words: str
) -> None:
    kfp.script = [RUNNING, Frame(state)]
    found = failure(run, connection)
    assert found.exit_code == 1
    assert words in str(found)


def test_words_of_a_log_are_read_with_care() -> None:
    assert exit_code(step_log(3)) == 3
    assert exit_code("exit status 2\nlater: exit code: 5\nError: exit status 1") == 5
    assert exit_code("an exit of status three") == 1
    assert last_words(step_log(3, "a\nerror: b")) == "b"
    assert last_words("failed to execute component: signal: killed\nError: exit status 1") == (
        "failed to execute component: signal: killed"
    )
    assert last_words("") == ""


def test_the_journal_is_believed_before_logs(
    kfp: KfpServer, run: Run, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last try of a step counts, and of several failed steps the first."""
    monkeypatch.setenv("RMTL_JOURNAL", str(tmp_path))
    tries = [
        entry("fetch", 1, 5, message="S3 is away"),
        entry("fetch", 2, 0, attempt=2),
        entry("train", 3, 3, message="no faces"),
        entry("report", 4, 1, message="nothing to report"),
    ]
    for number, item in enumerate(tries):
        write_json(tmp_path / run.run_id / f"{number}.json", asdict(item))
    kfp.script = [FAILED]
    kfp.logs[node_of("train")] = step_log(4)
    found = failure(run, connection)
    assert found.exit_code == 3
    assert "train: no faces" in str(found)


@pytest.mark.parametrize("place", ["s3://", "nowhere"])
def test_without_a_readable_journal_the_logs_are_asked(
    kfp: KfpServer, run: Run, connection: Connection, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("RMTL_JOURNAL", place)
    kfp.script = [FAILED]
    kfp.logs[node_of("train")] = step_log(4)
    assert failure(run, connection).exit_code == 4
