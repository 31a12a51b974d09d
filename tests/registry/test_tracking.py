import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from model.config import RegisterConfig, dump_config
from model.errors import ServiceError
from model.registry.client import open_store
from model.registry.promotion import history, promote
from model.registry.registry import register_version
from model.registry.tracking import MlflowLog, log_points, open_log, read_spool, sync
from model.registry.versions import fetch
from model.storage import alone_in
from model.train.interrupt import TerminatedError
from model.weights import load_meta
from tests.command import Command

NAME = "residual-mtl"


class Training:
    """Writes a spool as training does, and tells a log about every line."""

    def __init__(self, folder: Path) -> None:
        self.spool = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, log: MlflowLog | None = None, **params: Any) -> None:
        self._append({"params": params})
        if log is not None:
            log.params(params)

    def step(self, step: int, log: MlflowLog | None = None) -> None:
        values = {"epoch": step, "train/loss": 1.0 / step, "val/nme_interocular": 9.0 / step}
        self._append({"step": step, "time": 1000.0 + step, "values": values})
        if log is not None:
            log.metrics(values, step)

    def _append(self, line: dict[str, Any]) -> None:
        with self.spool.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path / "train")


def curve(run_id: str, name: str = "train/loss") -> list[tuple[int, float]]:
    with open_store() as store:
        return sorted((point.step, point.value) for point in store.client.get_metric_history(run_id, name))


def run_ids() -> list[str]:
    with open_store() as store:
        return [run.info.run_id for run in store.client.search_runs([store.experiment(NAME)])]


def test_a_training_becomes_one_finished_run(workspace: Path, training: Training) -> None:
    with open_log(NAME, spool=training.spool) as log:
        training.begin(log, **{"train": {"lr": 0.1, "net": {"size": "nano"}}, "seed": 0})
        for step in (1, 2, 3):
            training.step(step, log)
    (run_id,) = run_ids()
    assert curve(run_id) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    with open_store() as store:
        run = store.client.get_run(run_id)
    assert run.data.params == {"train.lr": "0.1", "train.net.size": "nano", "seed": "0"}
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "FAILED"), (TerminatedError, "KILLED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_training_that_breaks_off_is_a_failed_run_or_one_that_was_ended(
    workspace: Path, training: Training, error: type[BaseException], status: str
) -> None:
    def fail() -> None:
        with open_log(NAME, spool=training.spool) as log:
            training.begin(log)
            training.step(1, log)
            raise error("why")

    with pytest.raises(error, match="why"):
        fail()
    with open_store() as store:
        assert store.client.get_run(run_ids()[0]).info.status == status


def test_syncing_again_changes_nothing(workspace: Path, training: Training) -> None:
    """T21: what was uploaded already is not uploaded twice."""
    training.begin()
    training.step(1)
    first = sync(NAME, spool=training.spool)
    training.step(2)
    assert sync(NAME, spool=training.spool) == sync(NAME, spool=training.spool) == first
    assert curve(first) == [(1, 1.0), (2, 0.5)]
    assert run_ids() == [first]


@pytest.mark.parametrize(("epochs", "status"), [(1, "KILLED"), (2, "FINISHED")])
def test_a_run_that_nobody_ended_is_finished_only_with_all_epochs(
    workspace: Path, training: Training, epochs: int, status: str
) -> None:
    """After `kill -9` the run still counts as running."""
    log = MlflowLog(NAME, spool=training.spool)
    training.begin(log, **{"train.epochs": 2})
    for epoch in range(1, epochs + 1):
        training.step(epoch, log)
    run = sync(NAME, spool=training.spool)
    assert run_ids() == [run]
    with open_store() as store:
        assert store.client.get_run(run).info.status == status


def test_a_training_that_still_goes_on_uploads_by_itself(rmtl: Command, workspace: Path) -> None:
    with alone_in(workspace / "artifacts/train"):
        result = rmtl("sync", cwd=workspace)
    assert result.returncode == 1
    assert "another process works there" in result.stderr


def test_secrets_never_reach_mlflow(workspace: Path, training: Training) -> None:
    training.begin(
        RMTL_ENDPOINT_TOKEN="hush",
        AWS_SECRET_ACCESS_KEY="hush",
        deploy={"token_minutes": 60},
        url="s3://me:hush@host/x",
    )
    training.step(1)
    with open_store() as store:
        params = store.client.get_run(sync(NAME, spool=training.spool)).data.params
    assert params["RMTL_ENDPOINT_TOKEN"] == params["AWS_SECRET_ACCESS_KEY"] == "***"
    assert params["deploy.token_minutes"] == "60"
    assert params["url"] == "s3://***@host/x"


def test_a_line_cut_off_by_a_kill_is_left_out(training: Training) -> None:
    training.begin(lr=1)
    training.step(1)
    with training.spool.open("a") as stream:
        stream.write('not json\n{"step": 2, "time": 3.0, "val')
    assert read_spool(training.spool).points == [
        ("epoch", 1, 1001000, 1.0),
        ("train/loss", 1, 1001000, 1.0),
        ("val/nme_interocular", 1, 1001000, 9.0),
    ]


def test_a_spool_without_metrics_makes_no_run(workspace: Path, training: Training) -> None:
    assert sync(NAME, spool=training.spool) == ""
    training.begin(lr=1)
    assert sync(NAME, spool=training.spool) == ""
    assert run_ids() == []


def test_a_server_down_from_the_start_costs_no_training(
    workspace: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T21: down at the start; the upload comes later, by `sync`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with open_log(NAME, spool=training.spool) as log:
        training.begin(log, lr=1)
        for step in range(1, 50):
            training.step(step, log)
    assert time.monotonic() - started < 10
    with pytest.raises(ServiceError, match="is out of reach"):
        sync(NAME, spool=training.spool)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert len(curve(sync(NAME, spool=training.spool))) == 49


def test_the_command_uploads_a_training_that_had_no_server(
    workspace: Path, rmtl: Command, tiny: Any, tiny_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T21: training ends well without MLflow, `rmtl sync` ends with 5 until it is there, then tells all."""
    (workspace / "params.yaml").write_text(yaml.safe_dump(dump_config(tiny())))
    (workspace / "artifacts").mkdir()
    (workspace / "artifacts/shards").symlink_to(tiny_shards)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    trained = rmtl("train", cwd=workspace)
    assert trained.returncode == 0, trained.stderr
    assert rmtl("sync", cwd=workspace).returncode == 5
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    uploaded = rmtl("sync", "--json", cwd=workspace)
    assert uploaded.returncode == 0, uploaded.stderr
    assert len(curve(json.loads(uploaded.stdout)["run"], "val/nme_interocular")) == tiny().train.epochs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real `mlflow server` on this machine."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
        command += ["--artifacts-destination", str(folder / "server-artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # half the time to start
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.url}/health", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.3)
        pytest.fail("mlflow server did not come up in 240 s")

    def kill(self) -> None:
        """At once, with its workers: they share the session that it was started in."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def servers(workspace: Path) -> Iterator[list[Server]]:
    """Servers started one after the other on one port and one database."""
    (workspace / "mlflow.db").rename(workspace / "server.db")
    started: list[Server] = []
    yield started
    for server in started:
        server.kill()


def start(servers: list[Server], folder: Path, port: int) -> None:
    servers.append(Server(folder, port))
    servers[-1].wait()


@pytest.mark.service
@pytest.mark.long
def test_a_server_killed_in_mid_run_loses_nothing(
    workspace: Path,
    servers: list[Server],
    training: Training,
    gate: RegisterConfig,
    cases: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T21: killed in mid-run and at register; afterwards both are repeated and nothing is there twice."""
    monkeypatch.setattr("model.registry.tracking.PUSH_S", 0.0)
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    start(servers, workspace, port)
    case = cases.write("a")
    training.spool = case["weights"] / "metrics.jsonl"
    with open_log(NAME, spool=training.spool) as log:
        training.begin(log, **load_meta(case["weights"]).config)
        training.step(1, log)
        (run_id,) = run_ids()
        assert curve(run_id) == [(1, 1.0)]
        servers[-1].kill()
        began = time.monotonic()
        for step in range(2, 40):
            training.step(step, log)
    assert time.monotonic() - began < 20
    began = time.monotonic()
    with pytest.raises(ServiceError, match="is out of reach"):
        register_version(gate, **case)
    assert time.monotonic() - began < 10
    start(servers, workspace, port)
    version = register_version(gate, **case)
    assert register_version(gate, **case) == version
    assert version.run_id == run_id
    assert run_ids() == [run_id]
    assert [step for step, _ in curve(run_id)] == list(range(1, 40))
    promote(gate, who="ada", why="through a server")
    assert [entry.after for entry in history(gate.name)] == ["1"]
    assert fetch(f"models:/{gate.name}@champion", workspace / "fetched").is_dir()


def test_the_latest_value_is_that_of_the_last_step_when_the_clock_goes_back(workspace: Path) -> None:
    """T23."""
    with open_store() as store:
        run = store.client.create_run(store.experiment("clock")).info.run_id
        for step, time_ms, value in ((1, 7_200_000, 0.5), (2, 3_600_000, 0.25)):
            log_points(store, run, [("train/loss", step, time_ms, value)])
        assert store.client.get_run(run).data.metrics == {"train/loss": 0.25}
