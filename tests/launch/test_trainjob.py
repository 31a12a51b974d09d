"""Training as a TrainJob on an emulated cluster whose nodes are real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch

from model.errors import ConfigError, DataContractError, ServiceError
from model.launch import launch_training, parse_topology
from model.launch.trainjob import _Job
from model.storage import read_json
from model.train.checkpoint import Origin
from model.train.failure import LostPeerError, TrainingError
from model.train.interrupt import TerminatedError
from model.train.loop import train
from model.weights import load_weights
from tests.deploy.kube import kubeconfig
from tests.launch.cluster import NAMESPACE, running, start_node
from tests.schemas.validate import check

pytestmark = [pytest.mark.service, pytest.mark.ddp]

ORIGIN = Origin("config", "data", "shards", "code")
CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-bucket",
    "MLFLOW_TRACKING_PASSWORD": "canary-of-the-tracker",
    "RMTL_ENDPOINT_TOKEN": "canary-of-the-endpoint",
}


def topology(nodes=1):
    return parse_topology({"launcher": "trainjob", "nodes": nodes, "processes": 1})


def program(text):
    """A node that runs a short program instead of a training; `failure` in it is where a cause is kept."""

    def start(job, rank, log):
        given = {item["name"]: item["value"] for item in job["spec"]["trainer"]["env"]}
        code = f"import json, sys, time\nrank, failure = {rank}, {given['RMTL_FAILURE_FILE']!r}\n{text}"
        with log.open("wb") as stream:
            return subprocess.Popen([sys.executable, "-c", code], stdout=stream, stderr=stream, start_new_session=True)

    return start


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster that the environment leads to, and a folder that its nodes see."""
    shared, logs = tmp_path / "shared", tmp_path / "logs"
    shared.mkdir()
    logs.mkdir()
    with running(logs) as cluster:
        monkeypatch.setenv("RMTL_SHARED", str(shared))
        monkeypatch.setenv("RMTL_TRAIN_NAMESPACE", NAMESPACE)
        monkeypatch.setenv("RMTL_IMAGE", "registry.example.org/residual-mtl:0.1.0")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "")
        path = kubeconfig(tmp_path, cluster.url)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        for name, value in CANARIES.items():
            monkeypatch.setenv(name, value)
        yield cluster


@pytest.fixture
def launch(cluster, tiny, tiny_shards, tmp_path):
    """Launch a short training of one node."""
    config = tiny(**{"train.epochs": 1})
    return lambda nodes=1: launch_training(
        config.run, shards=tiny_shards, out=tmp_path / "out", topology=topology(nodes)
    )


class Heard:
    """A run log that remembers."""

    def __init__(self):
        self.names, self.steps = set(), []

    def params(self, values):
        self.names |= set(values)

    def metrics(self, values, step):
        self.steps.append(step)


def test_two_nodes_train_as_one_process_does(cluster, tiny, tiny_shards, tmp_path, caplog):
    """T28. The body is what the schema of TrainJob allows; curves, result and clean-up as in the step itself."""
    config, heard = tiny(**{"train.epochs": 2, "train.lr": 0.001}), Heard()
    out = tmp_path / "out"
    result = launch_training(config.run, shards=tiny_shards, out=out, topology=topology(2), log=heard)
    alone = train(config.run, shards=tiny_shards, out=tmp_path / "alone")
    one, two = load_weights(tmp_path / "alone")[0], load_weights(out)[0]
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-5) for name in one)
    assert (result.epoch, result.data_digest) == (alone.epoch, alone.data_digest)
    assert result.weights_digest == read_json(out / "meta.json")["weights_digest"]
    assert "train.lr" in heard.names
    assert heard.steps == [3, 6]
    (body,) = cluster.created
    check("TrainJob", body)
    assert body["spec"]["runtimeRef"]["name"] == "residual-mtl"
    assert body["spec"]["trainer"]["image"] == "registry.example.org/residual-mtl:0.1.0"
    assert cluster.deleted == [body["metadata"]["name"]]
    assert not list((tmp_path / "shared").iterdir())
    left = json.dumps(body) + caplog.text + "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert not [value for value in CANARIES.values() if value in left]


def test_nodes_start_from_weights_that_only_the_step_sees(cluster, tiny, tiny_shards, tmp_path):
    """Hardly moved at a tiny learning rate, and known by their digest."""
    first = train(tiny(**{"train.epochs": 1}).run, shards=tiny_shards, out=tmp_path / "first")
    still = {"train.epochs": 1, "train.lr": 1e-12, "train.start_from": str(tmp_path / "first"), "seed": 9}
    launch_training(tiny(**still).run, shards=tiny_shards, out=tmp_path / "out", topology=topology())
    given, got = load_weights(tmp_path / "first")[0], load_weights(tmp_path / "out")[0]
    assert all(torch.allclose(given[name], got[name], rtol=0, atol=1e-6) for name in given)
    assert read_json(tmp_path / "out" / "meta.json")["start_digest"] == first.weights_digest


def test_a_failure_on_a_node_is_raised_here_as_what_it_was(cluster, launch):
    cause = {"kind": "DataContractError", "exit_code": 3, "message": "shard 3: altered", "lost": False}
    cluster.start = program(f"print('INFO reading'); open(failure, 'w').write({json.dumps(cause)!r}); sys.exit(1)")
    with pytest.raises(DataContractError, match="shard 3: altered"):
        launch()
    assert len(cluster.created) == 1
    assert not cluster.deleted, "a failed job stays for those who want to look at it"


def test_a_job_whose_node_is_drained_is_started_again(cluster, launch, monkeypatch):
    """T26: its processes were asked to end, the step was not."""
    monkeypatch.setenv("RMTL_TRAIN_RESTARTS", "1")
    cause = {"kind": "TerminatedError", "exit_code": 143, "message": "asked to end in epoch 0", "lost": False}
    cluster.start = program(f"open(failure, 'w').write({json.dumps(cause)!r}); sys.exit(1)")
    with pytest.raises(LostPeerError, match="asked to end in epoch 0"):
        launch()
    assert len(cluster.created) == 2


def test_a_failed_job_that_vanishes_is_a_failure_all_the_same(cluster, launch, monkeypatch):
    cause = {"kind": "DataContractError", "exit_code": 3, "message": "shard 3: altered", "lost": False}
    cluster.start = program(f"open(failure, 'w').write({json.dumps(cause)!r}); sys.exit(1)")
    wait = _Job._wait

    def vanish(job):
        ended = wait(job)
        cluster.jobs.clear()
        return ended

    monkeypatch.setattr(_Job, "_wait", vanish)
    with pytest.raises(DataContractError, match="shard 3: altered"):
        launch(nodes=2)


def test_without_a_kept_cause_the_last_error_line_is_told(cluster, launch, monkeypatch):
    monkeypatch.setattr("model.launch.trainjob.WORD_S", 1.0)
    monkeypatch.setenv("RMTL_TRAIN_RESTARTS", "0")
    cluster.start = program("print('ERROR model.x: out of paper'); print('bye'); sys.exit(1)")
    with pytest.raises(LostPeerError, match=r"node-0: ERROR model\.x: out of paper"):
        launch()


@pytest.mark.long
def test_a_killed_node_is_made_up_for_from_the_last_checkpoint(cluster, tiny, tiny_shards, tmp_path, monkeypatch):
    """T25: the result is that of a training which nobody disturbed."""
    monkeypatch.setattr("model.launch.trainjob.WORD_S", 1.0)
    config = tiny(**{"train.epochs": 20, "train.val_every": 10, "train.checkpoint_every": 1})

    def kill_once(job, rank, log):
        node = start_node(job, rank, log)
        if len(cluster.created) == 1:
            threading.Thread(target=kill_when_under_way, args=(node,)).start()
        return node

    def kill_when_under_way(node):
        while not list((tmp_path / "shared").glob("*/train/last/state.json")):
            time.sleep(0.05)
        os.killpg(node.pid, signal.SIGKILL)

    cluster.start = kill_once
    result = launch_training(config.run, shards=tiny_shards, out=tmp_path / "out", topology=topology())
    assert len(cluster.created) == 2
    assert "going on in epoch" in (tmp_path / "logs" / f"{cluster.created[0]['metadata']['name']}-0").read_text()
    alone = train(config.run, shards=tiny_shards, out=tmp_path / "alone")
    assert result.weights_digest == alone.weights_digest


def test_a_step_that_is_tried_again_joins_the_job_of_its_first_try(cluster, launch, monkeypatch):
    """The first try is given up, as if its step had been killed, while its job goes on."""

    def slow_node(job, rank, log):
        time.sleep(2)
        return start_node(job, rank, log)

    cluster.start = slow_node
    with monkeypatch.context() as patch, pytest.raises(ServiceError, match="cut off"):
        patch.setattr("model.launch.trainjob._Job._wait", lambda _: _cut_off())
        launch()
    assert not cluster.deleted
    assert launch().epoch == 0
    assert len(cluster.created) == 1


def _cut_off():
    raise ServiceError("cut off")


def test_a_step_that_is_asked_to_end_deletes_its_job(cluster, launch):
    cluster.start = program("time.sleep(60)")
    threading.Timer(4, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(TerminatedError, match="asked to end and deleted"):
        launch()
    assert cluster.deleted == [cluster.created[0]["metadata"]["name"]]
    assert not cluster.jobs


@pytest.mark.long
def test_a_job_that_takes_too_long_is_deleted(cluster, launch, monkeypatch):
    monkeypatch.setenv("RMTL_TRAIN_TIMEOUT_S", "10")
    cluster.start = program("time.sleep(60)")
    with pytest.raises(TrainingError, match="RMTL_TRAIN_TIMEOUT_S=10"):
        launch()
    assert cluster.created[0]["spec"]["activeDeadlineSeconds"] == 10
    assert cluster.deleted


def test_an_unknown_runtime_is_a_wrong_setting(cluster, launch):
    cluster.runtimes.clear()
    with pytest.raises(ConfigError, match="RMTL_TRAIN_RUNTIME=residual-mtl: the cluster has no such runtime"):
        launch()


def test_a_cluster_out_of_reach_is_a_service_error(cluster, launch, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(path.read_text().replace(cluster.url, "http://127.0.0.1:9"))
    with pytest.raises(ServiceError, match="cannot look at job"):
        launch()


def test_the_name_of_a_job_follows_everything_that_decides_its_result():
    """The code counts beside the image, whose tag may be used again."""
    from model.launch.trainjob import job_name

    names = {
        job_name(ORIGIN, topology(), "image:1"),
        *(
            job_name(replace(ORIGIN, **{name: "other"}), topology(), "image:1")
            for name in ("config_digest", "data_digest", "shards_digest", "code_digest")
        ),
        job_name(ORIGIN, topology(2), "image:1"),
        job_name(ORIGIN, topology(), "image:2"),
    }
    assert len(names) == 7
    assert job_name(ORIGIN, topology(), "image:1") in names
    assert all(len(name) < 40 for name in names)
