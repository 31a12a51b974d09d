"""T23: a machine whose clock is an hour off, before an S3 server that refuses it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.errors import ServiceError
from tests.remote.places import BUCKET

pytestmark = pytest.mark.service

COMMAND = "from model.cli import main; main()"
READ = f"from model.storage import read_bytes; read_bytes('s3://{BUCKET}/a')"


def at(offset: str, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with a clock that is off (Debian package `faketime`); waiting takes real time."""
    assert shutil.which("faketime"), "apt-get install faketime"
    return subprocess.run(
        ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", offset, sys.executable, "-c", *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("offset", "told"), [("-1h", "60 minutes behind"), ("+1h", "60 minutes ahead of")])
def test_a_read_says_that_the_clock_is_off(offset: str, told: str, bucket: Any, tmp_path: Path) -> None:
    result = at(offset, READ, cwd=tmp_path)
    last = result.stderr.strip().splitlines()[-1]
    assert ServiceError.__name__ in last
    assert f"the clock of this machine is {told} the server's; set it by NTP" in last


@pytest.mark.parametrize("command", [("data", "push"), ("doctor",)], ids=" ".join)
def test_a_command_says_that_the_clock_is_off(command: tuple[str, ...], project: Path, bucket: Any) -> None:
    result = at("-1h", COMMAND, *command, cwd=project)
    assert result.returncode == 5, result.stderr
    assert "the clock of this machine is 60 minutes behind the server's; set it by NTP" in result.stdout + result.stderr
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_fetch_by_digest_says_that_the_clock_is_off(bucket: Any, tmp_path: Path) -> None:
    fetch = "from pathlib import Path; from model.data.ingest import fetch_version; "
    fetch += f"fetch_version('{'0' * 32}.dir', remote='s3://{BUCKET}/data', out=Path('out'))"
    result = at("-1h", fetch, cwd=tmp_path)
    assert "the clock of this machine is 60 minutes behind the server's" in result.stderr.strip().splitlines()[-1]
