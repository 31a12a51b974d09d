"""Names that these tests share, and what a project on another machine has."""

import shutil
import sys
from pathlib import Path

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
