"""`rmtl search` as people run it: real trainings of drawn faces, workers in processes, MLflow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow import MlflowClient

from model.cli.recipe import write_values
from model.config import dump_config, load_config
from model.search.study import load_study
from model.search.trials import all_trials, done, given_up
from model.storage import read_json

QUICK = {
    "train.epochs": 2,
    "search.trials": 4,
    "search.startup": 2,
    "search.fraction": 1.0,
    "search.overrides": {"train.epochs": 1},
}


@pytest.fixture
def project(tmp_path, tiny, tiny_shards):
    """Builder of a folder with params.yaml and shards."""

    def make(**values):
        config = tiny(**{**QUICK, **values})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(dump_config(config), sort_keys=False))
        (tmp_path / "artifacts").mkdir()
        (tmp_path / "artifacts/shards").symlink_to(tiny_shards)
        return tmp_path

    return make


def start(folder, *options):
    """`rmtl search` in a process of its own."""
    command = [sys.executable, "-c", "from model.cli import main; main()", "search", *options]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trials_of(folder):
    config = load_config(folder / "params.yaml").search
    return all_trials(load_study(config, folder / "artifacts/search"))


def checkpoint_of(folder):
    """Checkpoints of trials so far."""
    return sorted(folder.glob("artifacts/search/*/*/last/state.json"))


def wait_for(condition, seconds=200):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.service
def test_a_search_writes_choice_report_and_runs(project, rmtl):
    folder = project()
    done_first = rmtl("search", "--workers", "2", "--apply", cwd=folder)
    assert done_first.returncode == 0, done_first.stderr
    result = read_json(folder / "reports/search.json")
    assert (result["finished"], result["counts"], result["rule"]) == (4, {"complete": 4}, "score")
    assert yaml.safe_load((folder / "reports/search.yaml").read_text()) == result["overrides"]
    text = (folder / "params.yaml").read_text()
    assert f"# study loss-weights, trial {result['trial']} of 4, rule score" in text
    assert load_config(folder / "params.yaml", result["overrides"]) == load_config(folder / "params.yaml")
    _check_runs(folder, result)
    plotted = rmtl("plot", "search", cwd=folder)
    assert plotted.returncode == 0, plotted.stderr
    names = ["front", "history-nme", "importances-nme", "history-f1", "importances-f1"]
    assert plotted.stdout.split() == ["reports/search.html", *(f"reports/search/{name}.png" for name in names)]
    page = (folder / "reports/search.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert '<tr class="picked">' in page


def _check_runs(folder, result):
    """A run of the study, and one below it for each trial, with the curves of its training."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([item.experiment_id for item in client.search_experiments()])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.data.tags["search.trial"] for run in nested) == list("0123")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.tags["search.pick"] == "score"
    assert parent.data.tags["search.pick.trial"] == str(result["trial"])
    for name, value in result["overrides"].items():
        assert float(parent.data.tags[f"search.pick.{name}"]) == pytest.approx(value, rel=1e-5)
    (picked,) = [run for run in nested if run.data.tags["search.trial"] == str(result["trial"])]
    assert picked.data.metrics["best/nme_interocular"] == pytest.approx(result["values"]["val/nme_interocular"])
    assert "train/landmarks" in picked.data.metrics
    weight = float(picked.data.params["train.loss.expression_weight"])
    assert weight == pytest.approx(result["overrides"]["train.loss.expression_weight"], rel=1e-3)


@pytest.mark.long
def test_a_search_killed_as_a_whole_goes_on(project):
    """T22: its workers leave with it, each with a checkpoint."""
    folder = project(**{"search.overrides": {"train.epochs": 40}, "search.trials": 3})
    search = start(folder, "--workers", "2")
    wait_for(lambda: len(checkpoint_of(folder)) == 2)
    workers = psutil.Process(search.pid).children(recursive=True)
    search.kill()
    search.communicate()
    assert not psutil.wait_procs(workers, timeout=60)[1]
    before = done(trials_of(folder))
    again = start(folder, "--workers", "2", "--json")
    _, err = again.communicate(timeout=500)
    assert again.returncode == 0, err
    trials = trials_of(folder)
    assert len(done(trials)) == 3
    assert {trial.number: trial.values for trial in before}.items() <= {t.number: t.values for t in trials}.items()
    assert given_up(trials) == []


@pytest.mark.long
def test_a_killed_worker_is_replaced(project):
    """T22."""
    folder = project(**{"search.overrides": {"train.epochs": 20}, "search.trials": 2})
    search = start(folder)
    wait_for(lambda: checkpoint_of(folder))
    (worker,) = [
        child for child in psutil.Process(search.pid).children() if "model.search" in " ".join(child.cmdline())
    ]
    worker.kill()
    _, err = search.communicate(timeout=500)
    assert search.returncode == 0, err
    assert "was killed by signal 9; another takes over" in err
    states = [trial.state.name for trial in trials_of(folder)]
    assert sorted(states) == ["COMPLETE", "COMPLETE", "FAIL"]


@pytest.mark.long
def test_a_request_to_end_reaches_the_workers_and_is_no_fault_of_the_trial(project):
    """T22, T26."""
    folder = project(**{"search.overrides": {"train.epochs": 500}, "search.trials": 1})
    for _ in range(4):
        checkpoints = {path: path.stat().st_mtime_ns for path in checkpoint_of(folder)}
        search = start(folder)
        wait_for(lambda known=checkpoints: {p: p.stat().st_mtime_ns for p in checkpoint_of(folder)} != known)
        search.send_signal(signal.SIGTERM)
        _, err = search.communicate(timeout=100)
        assert search.returncode == 143, err
        assert "the same command goes on from there" in err
    trials = trials_of(folder)
    assert given_up(trials) == []
    assert all(trial.params == trials[0].params for trial in trials)
    assert len(checkpoint_of(folder)) == 1


def test_a_mistake_is_told_before_a_worker_starts(project, rmtl):
    folder = project()
    result = rmtl("search", "--set", "search.overrides={train.epoch: 1}", cwd=folder)
    assert (result.returncode, result.stdout) == (2, "")
    assert "train.epoch: params.yaml has no such key" in result.stderr
    assert not (folder / "artifacts/search").exists()


def test_a_study_that_is_not_there_is_told_by_name(project, rmtl):
    result = rmtl("plot", "search", cwd=project())
    assert result.returncode == 2
    assert "no study loss-weights yet; run `rmtl search`" in result.stderr


def test_the_choice_stands_in_the_file_with_its_study_and_all_else_stays(tmp_path, root):
    path = tmp_path / "params.yaml"
    text = (root / "params.yaml").read_text()
    path.write_text(text)
    for study in ("first", "second"):
        write_values(path, {"train.loss.expression_weight": 2.5}, comment=f"study {study}, trial 7 of 12, rule score")
    old, new = text.splitlines(), path.read_text().splitlines()
    (changed,) = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
    assert changed[1].strip() == "expression_weight: 2.5  # study second, trial 7 of 12, rule score"
    assert load_config(path).train.loss.expression_weight == 2.5


def test_a_server_of_mlflow_that_is_away_costs_no_trial(project, rmtl, monkeypatch):
    """T21."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = project(**{"search.trials": 1})
    result = rmtl("search", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert read_json(folder / "reports/search.json")["finished"] == 1
    assert [trial.state.name for trial in trials_of(folder)] == ["COMPLETE"]
