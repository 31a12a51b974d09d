"""Faults of the S3 remote, as the measurement plays them."""

from pathlib import Path

import pytest

from benchmarks.remote_faults.__main__ import play, table
from benchmarks.remote_faults.faults import FAULTS
from benchmarks.remote_faults.stage import FILES, make_project
from model.s3 import s3_client


@pytest.mark.service
@pytest.mark.long
def test_a_fault_and_the_same_command_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T20: what was sent before the server was killed is not sent again."""
    for name in ("RMTL_S3_REMOTE", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")
    found = play(FAULTS["server killed in mid-push"], make_project(tmp_path / "template"), tmp_path / "scratch")
    s3_client.cache_clear()
    assert found["exit_code"] == 5
    assert 0 < found["there"] < FILES
    assert (found["altered"], found["listed"]) == (0, False)
    assert (found["again"]["exit_code"], found["again"]["moved"]) == (0, FILES + 2 - found["there"])


def test_the_table_has_a_row_a_fault() -> None:
    again = {"exit_code": 0, "s": 3.2, "moved": 26}
    row = {"command": "push", "exit_code": 5, "s": 12.4, "again": again}
    faults = [
        {"fault": "down", **row, "there": 0, "altered": 0, "listed": False},
        {"fault": "killed", **row, "there": 24, "altered": 0, "listed": False},
        {"fault": "altered", **row, "there": 50, "altered": 1, "listed": True},
    ]
    lines = table({"objects": 50, "faults": faults}).splitlines()[2:]
    assert lines == [
        "| down | push | 5 | 12 | nothing | 0, 3, 26 |",
        "| killed | push | 5 | 12 | 24 of 50, all whole, without the version's list | 0, 3, 26 |",
        "| altered | push | 5 | 12 | 50 of 50, 1 altered, with the version's list | 0, 3, 26 |",
    ]
