"""Training in several processes of the step itself."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from mlflow import MlflowClient

from model.config import dump_config
from model.errors import DataContractError, ServiceError
from model.launch import launch_training, parse_topology
from model.registry.tracking import open_log
from model.storage import read_json
from model.train.loop import train
from model.weights import load_weights

pytestmark = pytest.mark.ddp

TWO = parse_topology({"launcher": "step", "nodes": 1, "processes": 2})


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def workers(pid):
    """Training processes below another one: neither torchrun nor its helpers."""
    below = psutil.Process(pid).children(recursive=True)
    return [child for child in below if "model.train" in child.cmdline() and "model.launch.node" not in child.cmdline()]


def tracked_epochs(workspace):
    """Step and number of each epoch of the one run on MLflow."""
    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    experiments = [item.experiment_id for item in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    assert run.info.status == "FINISHED"
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "epoch")]


def test_one_process_trains_in_this_one(tiny, tiny_shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model.launch.step", None)
    one = parse_topology({"launcher": "step", "nodes": 1, "processes": 1})
    config = tiny(**{"train.epochs": 1})
    launched = launch_training(config.run, shards=tiny_shards, out=tmp_path / "a", topology=one)
    assert launched.weights_digest == train(config.run, shards=tiny_shards, out=tmp_path / "b").weights_digest


@pytest.mark.long
def test_a_killed_process_is_made_up_for_and_the_curves_arrive_once(tiny, tiny_shards, tmp_path):
    """T25, T28: two processes, one of them killed, make the weights of one; the log hears every step."""
    config = tiny(**{"train.epochs": 12, "train.val_every": 6, "train.checkpoint_every": 1, "train.lr": 0.001})
    steps: list[int] = []
    nme: dict[int, float] = {}

    class Log:
        def params(self, values):
            assert values["train.epochs"] == 12

        def metrics(self, values, step):
            steps.append(step)
            nme[step] = values.get("val/nme_interocular", 0.0)

    def kill_one():
        wait_for((tmp_path / "two" / "last" / "state.json").exists)
        workers(os.getpid())[-1].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    result = launch_training(config.run, shards=tiny_shards, out=tmp_path / "two", topology=TWO, log=Log())
    killer.join()
    alone = train(config.run, shards=tiny_shards, out=tmp_path / "one")
    one, two = load_weights(tmp_path / "one")[0], load_weights(tmp_path / "two")[0]
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-4) for name in one)
    assert result.epoch == alone.epoch
    assert result.metrics["val/nme_interocular"] == pytest.approx(nme[36], abs=1e-6)
    assert steps == [3 * epoch for epoch in range(1, 13)]


def test_a_failure_of_the_processes_is_raised_here_as_what_it_was(tiny, tiny_shards, tmp_path):
    """T27: a shard that is damaged on disk; nothing is started a second time."""
    damaged = tmp_path / "shards"
    damaged.mkdir()
    for file in tiny_shards.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    table = next(damaged.glob("val*.parquet"))
    table.write_bytes(table.read_bytes()[:-40])
    with pytest.raises(DataContractError, match=table.name):
        launch_training(tiny().run, shards=damaged, out=tmp_path / "out", topology=TWO)


def test_a_training_that_fails_at_once_leaves_the_former_run_alone(rmtl, tiny_shards, workspace, monkeypatch):
    """T21: its curves are there still, and nothing is taken for the new training's."""
    (workspace / "artifacts" / "train").mkdir(parents=True)
    (workspace / "artifacts" / "shards").symlink_to(tiny_shards)
    spool = workspace / "artifacts" / "train" / "metrics.jsonl"
    spool.write_text('{"params": {}}\n{"step": 3, "time": 1.0, "values": {"epoch": 1}}\n')
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with open_log("residual-mtl", spool=spool):
        pass

    def fail(*_, **__):
        raise ServiceError("no process can be started")

    monkeypatch.setattr("model.launch.launch_training", fail)
    assert rmtl("train", "--processes", "2", cwd=workspace).returncode == ServiceError.exit_code
    assert tracked_epochs(workspace) == [(3, 1.0)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
@pytest.mark.long
def test_the_command_leaves_nothing_running_and_goes_on_later(number, tiny, tiny_shards, workspace):
    """T25, T26: asked to end, it writes a checkpoint and exits with 143; killed, its processes end by themselves."""
    config = tiny(**{"train.epochs": 40, "train.val_every": 20, "train.checkpoint_every": 1})
    (workspace / "params.yaml").write_text(yaml.safe_dump(dump_config(config)))
    (workspace / "artifacts").mkdir()
    (workspace / "artifacts" / "shards").symlink_to(tiny_shards)
    state = workspace / "artifacts" / "train" / "last" / "state.json"
    command = [str(Path(sys.executable).parent / "rmtl"), "train", "--processes", "2", "--json"]
    process = subprocess.Popen(command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(state.exists)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL), output
    assert not psutil.wait_procs(below, timeout=60)[1]
    progress = read_json(state)["progress"]
    assert progress["epoch"] < 40
    if number == signal.SIGTERM:
        assert "asked to end" in output
        again = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=240, check=False)
        assert again.returncode == 0, again.stderr
        assert read_json(state)["progress"]["epoch"] == 40
        assert tracked_epochs(workspace) == [(3 * epoch, epoch) for epoch in range(1, 41)]
