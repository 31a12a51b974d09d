"""Fixtures shared by all tests: the committed configuration, and the command line in this process."""

import os
import sys
from pathlib import Path

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")

import pytest
import torch
from hypothesis import settings

from model.config import Config, load_config
from tests.command import Command, Result

ROOT = Path(__file__).parent.parent

# How long an example takes depends on what else runs on the machine.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests share the cores with the servers that they start."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def config() -> Config:
    """params.yaml as committed."""
    return load_config(ROOT / "params.yaml")


@pytest.fixture
def rmtl(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process, as the console script does."""
    from model.cli import main

    def run(*arguments: str, cwd: Path) -> Result:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["rmtl", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            main()
        return Result(end.value.code or 0, *capfd.readouterr())

    return run


@pytest.fixture
def workspace(tmp_path: Path, root: Path) -> Path:
    """An empty folder with the committed params.yaml and recipes."""
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    (tmp_path / "recipes").symlink_to(root / "recipes")
    return tmp_path
