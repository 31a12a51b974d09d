"""Pipelines run by kfp's local runner: what runs, what the cache answers, and how failures end."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from model.serving import server
from tests.pipelines.project import Project, Run, make_project
from tests.spent import stopwatch

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]

HEAD = ["resolve", "ingest", "index", "validate", "shard"]
AFTER_SHARD = ["train", "evaluate", "evaluate-champion", "register", "package", "promote"]
TRAINING = HEAD + AFTER_SHARD
RERUN_S = 10


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("pipelines") / "project", root)


@pytest.fixture(scope="module")
def first(project: Project) -> Run:
    """The first run, without a cache entry."""
    return project.run()


def output(project: Project, step: str, name: str) -> Path:
    """The newest output of a step."""
    return max(project.root.glob(f"artifacts/pipeline/*/{step}/{name}"), key=lambda path: path.stat().st_mtime)


def test_every_step_runs_once_and_the_report_tells_its_cost(first: Run) -> None:
    report = first.json("report.json")
    assert sorted(first.steps) == sorted(TRAINING)
    assert report["state"] == "SUCCEEDED"
    assert all(step["seconds"] > 0 and step["memory_mb"] > 0 and step["exit_code"] == 0 for step in report["steps"])
    assert report["seconds"] == pytest.approx(sum(step["seconds"] for step in report["steps"]), abs=0.01)


def test_the_result_is_the_last_line_and_holds_the_evaluation(first: Run) -> None:
    assert Path(first.stdout.strip()) == first.folder / "evaluation.json"
    assert first.json("evaluation.json")["summary"]


@pytest.mark.long
def test_what_was_overtaken_is_promoted_again(project: Project, first: Run) -> None:
    """T14: outputs of a promotion are no proof that it stands."""
    project.run("--set", "train.lr=0.0056")
    again = project.run()
    assert sorted(again.steps) == ["evaluate-champion", "package", "promote", "register"]
    assert project.run().steps == []


def test_an_unchanged_rerun_executes_no_step(project: Project, first: Run) -> None:
    """T12."""
    # Another test may have promoted since; this one is champion after it.
    project.run()
    spent = stopwatch()
    again = project.run()
    assert spent() < RERUN_S
    assert again.steps == []
    assert (again.folder / "evaluation.json").read_bytes() == (first.folder / "evaluation.json").read_bytes()


@pytest.mark.long
def test_a_changed_value_reruns_its_step_and_what_follows(project: Project, first: Run) -> None:
    """T13."""
    assert sorted(project.run("--set", "train.lr=0.0051").steps) == sorted(AFTER_SHARD)
    assert project.run("--set", "train.lr=0.0051", "--set", "package.workers=2").steps == ["package"]


@pytest.mark.long
def test_altered_and_deleted_outputs_are_made_again(project: Project, first: Run) -> None:
    """T15."""
    project.run("--set", "train.lr=0.0052")
    weights = output(project, "train", "weights") / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert sorted(project.run("--set", "train.lr=0.0052").steps) == sorted(AFTER_SHARD)
    shutil.rmtree(output(project, "package", "archive"))
    assert project.run("--set", "train.lr=0.0052").steps == ["package"]


@pytest.mark.long
def test_a_killed_run_is_taken_up_where_it_was(project: Project, first: Run) -> None:
    """T18."""
    others = ["--set", "validate.min_side=8", "--set", "train.lr=0.0057"]
    before = _curves(project)
    process = project.start(*others, "--set", "train.steps_per_epoch=2000")
    _wait(process, lambda: _curves(project) != before)
    # kfp's step is a process of its own, which nobody ends with the one that started it.
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for orphan in started:
        orphan.kill()
    again = project.run(*others)
    assert set(again.steps) & set(HEAD) == set()
    assert "train" in again.steps


def test_bad_pictures_above_the_budget_end_the_run_with_code_3_and_a_report(root: Path, tmp_path: Path) -> None:
    """T01."""
    project = make_project(tmp_path / "project", root)
    for picture in sorted((project.root / "data/made/train").glob("*.webp"))[:3]:
        picture.chmod(0o644)
        picture.unlink()
        picture.write_bytes(b"no picture at all")
    project.push()
    failed = project.run(code=3)
    report = failed.json("report.json")
    assert report["state"] == "FAILED"
    assert (report["failure"]["step"], report["failure"]["exit_code"]) == ("validate", 3)
    assert "quarantine.csv" in report["failure"]["message"]
    assert "step validate failed" in failed.stderr
    assert [step["step"] for step in report["steps"]].count("validate") == 1


@pytest.mark.long
def test_two_data_versions_give_two_manifests_and_two_models(root: Path, tmp_path: Path) -> None:
    """T13, T14: the labels change at the same address."""
    project = make_project(tmp_path / "project", root)
    first = project.run()
    labels = project.root / "data/made/labels.jsonl"
    content = labels.read_text()
    labels.unlink()
    labels.write_text(content.replace('"happy"', '"sad"', 1))
    project.push()
    second = project.run()
    # The champion is measured on the new data too, so that the gate can compare and lets the new version through.
    assert sorted(second.steps) == sorted(TRAINING)
    ones, twos = (run.json("evaluation.json") for run in (first, second))
    assert ones["data_digest"] != twos["data_digest"]
    assert ones["weights_digest"] != twos["weights_digest"]
    labels.unlink()
    labels.write_text(content)
    project.push()
    assert sorted(project.run().steps) == ["evaluate-champion", "package", "promote", "register"]


@pytest.mark.long
def test_a_missing_version_ends_with_the_code_of_a_service(project: Project) -> None:
    failed = project.run("--data-version", f"{'0' * 32}.dir", code=5)
    assert failed.json("report.json")["failure"]["step"] == "ingest"
    assert [step["attempt"] for step in failed.json("report.json")["steps"] if step["step"] == "ingest"] == [1, 2, 3]


def test_a_wrong_value_ends_with_the_code_of_configuration(project: Project) -> None:
    process = project.start("--set", "train.lr=-1")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "train.lr" in stderr


@pytest.mark.long
def test_a_promotion_that_was_killed_is_no_success(project: Project, first: Run) -> None:
    """The runner's word and what the steps left are weighed both."""
    process = project.start("--set", "train.lr=0.0053")
    killed, deadline = 0, time.monotonic() + 300
    while process.poll() is None:
        assert time.monotonic() < deadline
        for promoting in _steps(process.pid, "promote"):
            promoting.kill()
            killed += 1
        time.sleep(0.02)
    _, stderr = process.communicate(timeout=120)
    assert killed >= 3
    assert process.returncode == 1
    assert "step promote left no trace" in stderr


@pytest.mark.long
def test_sigterm_ends_the_run_and_its_step(project: Project, first: Run) -> None:
    process = project.start("--set", "train.lr=0.0054", "--set", "train.steps_per_epoch=100000")
    _wait(process, lambda: _steps(process.pid, "train"))
    training = _steps(process.pid, "train")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not psutil.wait_procs(training, timeout=30)[1]


@pytest.mark.long
def test_sigterm_ends_the_rows_that_wait_for_their_place_too(project: Project, first: Run) -> None:
    """kfp runs two rows of an ablation at once."""
    rows = ["row-hard-sharing", "row-residual", "row-association", "row-single-landmarks"]
    process = project.start(
        *("--pipeline", "ablation", "--rows", *rows),
        "--set",
        "train.lr=0.0058",
        "--set",
        "train.steps_per_epoch=100000",
    )
    _wait(process, lambda: len(_steps(process.pid, "train")) >= 2)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.long
def test_a_deployment_answers_and_outlives_its_run(project: Project, first: Run) -> None:
    try:
        run = project.run("--set", "train.lr=0.0055", "--deploy", "local")
        deployment = run.json("deployment.json")
        assert json.loads((project.root / "reports/deployment.json").read_text()) == deployment
        assert requests.get(f"{deployment['url']}/ping", timeout=10).json()["status"] == "ready"
        registered = max(
            project.root.glob("artifacts/pipeline/*/register/registration"), key=lambda path: path.stat().st_mtime
        )
        assert deployment["version"] == json.loads(registered.read_text())["version"]
    finally:
        server.stop(None, state=project.root / "artifacts/serve")


@pytest.mark.long
def test_a_search_trains_with_the_choice_of_its_workers(project: Project, first: Run) -> None:
    run = project.run("--pipeline", "search", "--workers", "2")
    chosen = run.json("search.json")
    assert chosen["finished"] >= 2
    assert [run.steps.count(name) for name in ("search", "choose", "train", "register")] == [2, 1, 1, 1]
    meta = output(project, "train", "weights") / "meta.json"
    assert f'"expression_weight": {chosen["overrides"]["train.loss.expression_weight"]}' in meta.read_text()
    client = MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    runs = client.search_runs([item.experiment_id for item in client.search_experiments()], "tags.`search.study` != ''")
    (parent,) = [item for item in runs if "search.pick" in item.data.tags]
    trials = [item for item in runs if item.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(trials) == chosen["finished"]
    # The curves of every worker's trials, whichever worker they were trained by.
    assert all("train/landmarks" in item.data.metrics for item in trials)


@pytest.mark.long
def test_ablation_rows_are_trained_and_compared(project: Project, first: Run) -> None:
    run = project.run("--pipeline", "ablation", "--rows", "row-hard-sharing", "row-residual")
    compared = run.json("comparison.json")
    assert [row["name"] for row in compared] == ["row-hard-sharing", "row-residual"]
    assert compared[0]["weights_digest"] != compared[1]["weights_digest"]
    assert run.stdout.strip().endswith("comparison.json")


def _wait(process: "subprocess.Popen[str]", until: Callable[[], object]) -> None:
    """Until something holds of a run that has not ended."""
    deadline = time.monotonic() + 300
    while not until():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _curves(project: Project) -> set[Path]:
    """Of the trainings that have begun."""
    return set(project.root.glob("artifacts/pipeline/*/train/weights/metrics.jsonl"))


def _steps(pid: int, function: str) -> list[psutil.Process]:
    """Processes of a run that execute a step."""
    found: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            words = process.cmdline()
            # The shell around it carries the same words.
            if "kfp.dsl.executor_main" in words[:4] and words[words.index("--function_to_execute") + 1] == function:
                found.append(process)
    return found
