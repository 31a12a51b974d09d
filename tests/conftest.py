"""Fixtures shared by all tests: the committed configuration, and small sets of weights."""

import os
from pathlib import Path

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import pytest
import torch

from model.config import Config, load_config

ROOT = Path(__file__).parent.parent


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
