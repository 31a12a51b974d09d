"""Two nodes in two containers on gloo: the container backend of Kubeflow Trainer's SDK."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import torch
from safetensors.torch import load_file

from model.config import Config
from model.errors import ConfigError
from model.launch import launch_training, parse_topology
from model.schema import TrainResult
from model.storage import read_json
from model.train.failure import LostPeerError
from model.train.loop import train
from model.weights import load_weights
from tests.train.conftest import drawn_shards, tiny

__all__ = ["drawn_shards", "tiny"]

pytestmark = [pytest.mark.container, pytest.mark.ddp]

TWO_NODES = parse_topology({"launcher": "trainjob", "nodes": 2, "processes": 1})
TWO_PROCESSES = parse_topology({"launcher": "step", "nodes": 1, "processes": 2})
JOBS = "trainer.kubeflow.org/trainjob-name"

Launch = Callable[[Config, Path], TrainResult]


@pytest.fixture(scope="module")
def shards(drawn_shards, tmp_path_factory):
    """Labels spread unevenly over two nodes."""
    return drawn_shards(tmp_path_factory.mktemp("drawn"), train=24, val=11)


@pytest.fixture
def launch(
    engine: docker.DockerClient, train_image: str, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Launch]:
    """Launch on two containers; what a failed job leaves is removed at the end."""
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RMTL_TRAIN_BACKEND", "container")
    monkeypatch.setenv("RMTL_SHARED", str(shared))
    monkeypatch.setenv("RMTL_IMAGE", train_image)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("RMTL_TRAIN_RUNTIMES", str(root / "deploy" / "train" / "clustertrainingruntime.yaml"))
    before = {container.id for container in nodes(engine, running=False)}
    yield lambda config, out: launch_training(config.run, shards=shards, out=out, topology=TWO_NODES)
    for container in nodes(engine, running=False):
        if container.id not in before:
            networks = list(container.attrs["NetworkSettings"]["Networks"])
            container.remove(force=True)
            for network in engine.networks.list(names=networks) if networks else []:
                network.reload()
                if not network.containers:
                    network.remove()


def nodes(engine, *, running=True):
    """Containers of jobs, by name."""
    found = engine.containers.list(all=not running, filters={"label": JOBS})
    return sorted(found, key=lambda container: container.name)


def act_when_under_way(engine, folder, act):
    """Do something to the second container, once, when a checkpoint has been written; the thread and the time of it."""
    times = []

    def wait_and_act():
        deadline = time.monotonic() + 120
        while not list(folder.glob("*/train/last/state.json")) and time.monotonic() < deadline:
            time.sleep(0.1)
        act(nodes(engine)[1])
        times.append(time.monotonic())

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread, times


def test_two_containers_equal_one_process(launch, tiny, shards, tmp_path):
    """T28: fp32; the checkpoint from the shared storage is whole, and no pickle."""
    config = tiny(**{"train.epochs": 2, "train.lr": 0.001})
    result = launch(config, tmp_path / "two")
    alone = train(config.run, shards=shards, out=tmp_path / "one")
    one, two = load_weights(tmp_path / "one")[0], load_weights(tmp_path / "two")[0]
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-5) for name in one)
    assert result.epoch == alone.epoch
    last = tmp_path / "two" / "last"
    assert load_file(last / read_json(last / "state.json")["tensors"])
    assert {path.suffix for path in (tmp_path / "two").rglob("*") if path.is_file()} <= {
        ".safetensors",
        ".json",
        ".jsonl",
        ".csv",
    }
    assert not list((tmp_path / "shared").iterdir())


def test_a_job_that_cannot_be_made_costs_no_checkpoint(engine, launch, tiny, shards, tmp_path, monkeypatch):
    """The SDK removes the work folder of such a job, which is ours."""
    config = tiny(**{"train.epochs": 1})
    train(config.run, shards=shards, out=tmp_path / "out")
    monkeypatch.setenv("RMTL_IMAGE", "residual-mtl:never-built")
    with pytest.raises(ConfigError, match="RMTL_IMAGE"):
        launch(config, tmp_path / "out")
    (folder,) = (tmp_path / "shared").iterdir()
    assert (folder / "train" / "last" / "state.json").read_bytes() == (
        tmp_path / "out" / "last" / "state.json"
    ).read_bytes()


def test_a_killed_container_is_made_up_for_from_the_last_checkpoint(engine, launch, tiny, shards, tmp_path):
    """T25: kill -9 in the middle; the job is started again and ends with the weights of two undisturbed processes."""
    config = tiny(**{"train.epochs": 20, "train.val_every": 10, "train.checkpoint_every": 1})
    killer, _ = act_when_under_way(engine, tmp_path / "shared", lambda container: container.kill(signal="KILL"))
    result = launch(config, tmp_path / "two")
    killer.join()
    undisturbed = launch_training(config.run, shards=shards, out=tmp_path / "here", topology=TWO_PROCESSES)
    assert result.weights_digest == undisturbed.weights_digest


@pytest.mark.parametrize("act", ["kill", "pause"])
def test_without_restarts_a_lost_container_ends_the_job_within_a_minute(
    act, engine, launch, tiny, tmp_path, monkeypatch
):
    """T25: killed, or silent as a machine that has vanished; the default heartbeat holds."""
    monkeypatch.setenv("RMTL_TRAIN_RESTARTS", "0")
    config = tiny(**{"train.epochs": 400, "train.val_every": 400, "train.checkpoint_every": 1})
    killer, times = act_when_under_way(engine, tmp_path / "shared", lambda container: getattr(container, act)())
    with pytest.raises(LostPeerError, match="another process"):
        launch(config, tmp_path / "out")
    killer.join()
    assert time.monotonic() - times[0] < 60
