"""Commands that talk to the server, against its stand-in."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kfp_nodes import Frame, node_of, step_log
from tests.kfp_server import TOKEN, KfpServer
from tests.pipelines.conftest import Ended

pytestmark = pytest.mark.service

RUNNING = Frame("RUNNING", {"validate": "RUNNING"})
FAILED = Frame("FAILED", {"validate": "FAILED"})


def test_submit_prints_the_address_and_json_the_whole(kfp: KfpServer, command: Callable[..., Ended]) -> None:
    (line,) = command("submit").lines
    assert f"{kfp.url}/#/runs/details/" in line
    (text,) = command("submit", "--json").lines
    about = json.loads(text)
    assert about["url"].endswith(about["run_id"])
    assert about["pipeline"] == "residual-mtl-training"
    assert about["experiment"] == "residual-mtl"
    assert about["version"].startswith("0.")
    assert kfp.writes().count(("POST", "/pipelines/upload_version")) == 1


@pytest.mark.parametrize("pipeline", ["training", "search"])
def test_what_is_submitted_has_values_for_every_parameter(
    kfp: KfpServer, command: Callable[..., Ended], root: Path, pipeline: str
) -> None:
    """The stand-in refuses missing, wrong and superfluous ones."""
    ended = command("submit", "--pipeline", pipeline, "--set", "train.lr=0.005")
    assert ended.failure is None
    (stored,) = kfp.runs.values()
    parameters = stored["runtime_config"]["parameters"]
    assert parameters["data_version"] in (root / "data.dvc").read_text()
    assert parameters["train"]["lr"] == 0.005
    assert parameters["remote"] == "s3://bucket/face"


def test_wait_gives_the_outcome_in_one_json_object(
    kfp: KfpServer, command: Callable[..., Ended], capsys: pytest.CaptureFixture[str]
) -> None:
    kfp.script = [Frame("RUNNING"), Frame("FAILED", {"validate": "FAILED"})]
    kfp.logs[node_of("validate")] = step_log(3)
    ended = command("submit", "--wait", "--json")
    about = json.loads("".join(ended.lines))
    assert about["state"] == "FAILED"
    assert {"name": "validate", "state": "FAILED"}.items() <= about["tasks"][4].items()
    assert ended.failure is not None
    assert ended.failure.exit_code == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "validate  failed" in printed.err


def test_wait_and_follow_end_well_where_the_run_does(kfp: KfpServer, command: Callable[..., Ended]) -> None:
    first = command("submit", "--wait")
    assert first.failure is None
    assert first.lines[-1] == "the run succeeded"
    assert command("follow", next(iter(kfp.runs))).failure is None


def test_a_remote_that_pods_cannot_reach_is_refused_before_the_server_is_asked(
    kfp: KfpServer, command: Callable[..., Ended]
) -> None:
    ended = command("submit", "--remote", "benchmarks/store")
    assert ended.failure is not None
    assert ended.failure.exit_code == 2
    assert "RMTL_S3_REMOTE" in str(ended.failure)
    assert kfp.requests == []


def test_a_missing_host_ends_with_2(no_server: None, command: Callable[..., Ended]) -> None:
    for arguments in (["submit"], ["schedule", "--cron", "@daily"], ["schedules"], ["follow", "x"]):
        ended = command(*arguments)
        assert ended.failure is not None
        assert ended.failure.exit_code == 2
        assert "RMTL_KFP_HOST" in str(ended.failure)


def test_the_token_is_in_no_output_log_or_body(
    kfp: KfpServer,
    command: Callable[..., Ended],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """T17."""
    caplog.set_level(logging.DEBUG)
    kfp.script = [RUNNING, FAILED]
    ends = [command("submit", "--wait"), command("submit", "--json"), command("schedules")]
    kfp.faults.statuses = [503] * 5
    ends.append(command("submit"))
    kfp.faults.statuses = []
    ends.append(command("schedule", "--cron", "@daily", "--repository", "https://git.example.com/face.git"))
    printed = capfd.readouterr()
    told = "".join(str(ended) for ended in ends) + caplog.text + printed.out + printed.err
    sent = "".join(f"{item.path} {item.query} {item.body!r}" for item in kfp.requests)
    assert TOKEN not in told
    assert TOKEN not in sent
    assert all(item.headers["authorization"] == f"Bearer {TOKEN}" for item in kfp.requests)


@pytest.fixture
def waiting(kfp: KfpServer, root: Path) -> Iterator[subprocess.Popen[str]]:
    """`rmtl pipeline submit --wait` as a process of its own, on a run that does not end."""
    kfp.script = [RUNNING]
    command = [str(Path(sys.executable).with_name("rmtl")), "pipeline", "submit", "--wait"]
    # A shell lets what it starts in the background ignore interrupts, and so would this process.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, former)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_interrupt_leaves_the_run_running_and_says_so(kfp: KfpServer, waiting: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not any("/nodes/" in item.path or "/runs/" in item.path for item in kfp.requests):
        assert time.monotonic() < deadline
        assert waiting.poll() is None, waiting.communicate()
        time.sleep(0.1)
    os.killpg(waiting.pid, signal.SIGINT)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "/#/runs/details/" in out
    assert "the run goes on" in err
    assert "rmtl pipeline follow" in err
    assert "Traceback" not in err
    assert not any(path.endswith(":terminate") for _, path in kfp.writes())


def test_rmtl_hands_the_commands_over(kfp: KfpServer, rmtl: Any, root: Path) -> None:
    kfp.faults.statuses = [401] * 9
    result = rmtl("pipeline", "schedules", cwd=root)
    assert result.returncode == 5
    assert "RMTL_KFP_TOKEN" in result.stderr
    assert "Traceback" not in result.stderr
