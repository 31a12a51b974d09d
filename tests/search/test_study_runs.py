"""A study on MLflow, told by every machine that watches it."""

import json
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import create_trial

from model.config import Config
from model.registry.study_runs import StudyRuns
from model.search import NME, STORAGE
from model.search.places import Places
from model.train.spool import SPOOL_FILE


@pytest.mark.parametrize("first", [0, 1])
def test_machines_that_watch_one_study_tell_a_trial_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config, first: int
) -> None:
    """T22: whichever of them is first, the one that trained it, with its curve, or another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(STORAGE, "postgresql://ada@host/studies")
    places = [Places(tmp_path / name, config.search.study) for name in ("trained", "watching")]
    spool = places[0].trial(0) / SPOOL_FILE
    spool.parent.mkdir(parents=True)
    lines = [{"params": {"train.lr": 0.01}}, {"step": 1, "time": 1.0, "values": {"train/loss": 2.0}}]
    spool.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    trial = create_trial(
        values=[4.0, 50.0],
        params={"train.lr": 0.01},
        distributions={"train.lr": optuna.distributions.FloatDistribution(0.001, 0.1, log=True)},
        user_attrs={"metrics": {NME: 4.0}, "seconds": 2.0},
    )
    trial.number = 0
    for place in (places[first], places[1 - first], places[first]):
        StudyRuns("search", config.search, place).tell([trial])
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([item.experiment_id for item in client.search_experiments()])
    assert [run.data.tags["search.trial"] for run in runs if "mlflow.parentRunId" in run.data.tags] == ["0"]
    assert len(runs) == 2
