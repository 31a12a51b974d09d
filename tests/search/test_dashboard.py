"""The documented command of optuna-dashboard shows a study of ours."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import requests

from model.search.places import Places
from model.search.storage import open_storage
from model.serving.torchserve import free_ports


@pytest.fixture
def study(tmp_path):
    """A study in the place that `rmtl search` uses."""
    storage = open_storage(Places(tmp_path / "artifacts/search", "loss-weights"))
    study = optuna.create_study(study_name="loss-weights", storage=storage, directions=["minimize", "maximize"])
    trial = optuna.trial.create_trial(
        params={"train.loss.expression_weight": 2.0},
        distributions={"train.loss.expression_weight": optuna.distributions.FloatDistribution(0.001, 1000, log=True)},
        values=[4.0, 50.0],
    )
    study.add_trial(trial)
    return tmp_path


@pytest.mark.service
def test_the_documented_command_shows_the_study(study, root):
    (port,) = free_ports(1)
    (command,) = set(re.findall(r"`(optuna-dashboard [^`]+study\.db)`", (root / "docs/RUNBOOK.md").read_text()))
    program, *arguments = shlex.split(command)
    process = subprocess.Popen([str(Path(sys.executable).parent / program), *arguments, "--port", str(port)], cwd=study)
    try:
        told = _ask(f"http://127.0.0.1:{port}/api/studies", process)
    finally:
        process.terminate()
        process.wait(timeout=30)
    (summary,) = told["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == ("loss-weights", ["minimize", "maximize"])


def _ask(url, process):
    until = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < until
        try:
            return requests.get(url, timeout=5).json()
        except requests.ConnectionError:
            time.sleep(0.2)
