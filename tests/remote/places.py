"""Names that these tests share, and what a project on another machine has."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

BUCKET = "faces"
REMOTE = f"s3://{BUCKET}/data"
LONGEST_S = 120


def dvc() -> list[str]:
    return [sys.executable, "-m", "dvc"]


def digest(project: Path) -> str:
    """The version that data.dvc names."""
    return str(yaml.safe_load((project / "data.dvc").read_text())["outs"][0]["md5"])


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
