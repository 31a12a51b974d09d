"""Names that these tests share, and what a project on another machine has."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.command import Command, contents

BUCKET = "faces"
REMOTE = f"s3://{BUCKET}/data"
LONGEST_S = 120


def dvc() -> list[str]:
    return [sys.executable, "-m", "dvc"]


def digest(project: Path) -> str:
    """The version that data.dvc names."""
    return str(yaml.safe_load((project / "data.dvc").read_text())["outs"][0]["md5"])


def check_data_travel(rmtl: Command, project: Path) -> str:
    """Push, lose and pull the data, which come back whole; what the commands said."""
    before = contents(project / "data")
    pushed = rmtl("data", "push", cwd=project)
    assert pushed.returncode == 0, pushed.stderr
    lose_data(project)
    pulled = rmtl("data", "pull", cwd=project)
    assert pulled.returncode == 0, pulled.stderr
    assert contents(project / "data") == before
    return "".join((*pushed[1:], *pulled[1:]))


def lose_data(project: Path) -> None:
    """As on another machine: neither data nor cache."""
    shutil.rmtree(project / "data")
    shutil.rmtree(project / ".dvc/cache")


def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that S3 does not know: no keys, no settings, no role of the machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
