"""A study on MLflow, told by every machine that watches it."""

import json
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, create_trial

from model.config import Config
from model.registry.study_runs import StudyRuns
from model.search import NME, STORAGE
from model.search.places import Places
from model.train.spool import SPOOL_FILE


def test_another_study_of_the_same_name_has_runs_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    places = Places(tmp_path / "search", config.search.study)
    for digest, lr in (("before", 0.01), ("after", 0.02), ("after", 0.02)):
        StudyRuns("search", config.search, places, digest=digest).tell([_trial(lr)])
    found = _runs(tmp_path)
    assert len(found) == 4
    parents = {
        run.data.params["train.lr"]: run.data.tags.get("mlflow.parentRunId")
        for run in found
        if "train.lr" in run.data.params
    }
    assert set(parents) == {"0.01", "0.02"}
    assert len(set(parents.values())) == 2


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
    for place in (places[first], places[1 - first], places[first]):
        StudyRuns("search", config.search, place, digest="a").tell([_trial(0.01)])
    runs = _runs(tmp_path)
    assert [run.data.tags["search.trial"] for run in runs if "mlflow.parentRunId" in run.data.tags] == ["0"]
    assert len(runs) == 2


def _trial(lr: float) -> FrozenTrial:
    """The first trial of a study, finished."""
    trial = create_trial(
        values=[4.0, 50.0],
        params={"train.lr": lr},
        distributions={"train.lr": optuna.distributions.FloatDistribution(0.001, 0.1, log=True)},
        user_attrs={"metrics": {NME: 4.0}, "seconds": 2.0},
    )
    trial.number = 0
    return trial


def _runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(client.search_runs([item.experiment_id for item in client.search_experiments()]))
