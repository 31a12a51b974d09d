"""Several processes, and processes that are killed. Each starts a real training from its command line."""

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.storage import read_json
from model.train.loop import train
from model.weights import load_weights

pytestmark = pytest.mark.ddp

# A stale address of a killed worker would cost a restart its first try.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


@pytest.fixture(scope="module")
def shards(drawn_shards, tmp_path_factory):
    """Eleven held-out faces: the last batch is uneven, and one of two processes has none of it."""
    return drawn_shards(tmp_path_factory.mktemp("uneven"), train=24, val=11)


@pytest.fixture
def start():
    """Start a command in a session of its own; whatever is left of it at the end is killed."""
    started = []

    def run(command):
        process = subprocess.Popen(
            command,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if _alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def tensors_of(out):
    folder = out / "last"
    return load_file(folder / read_json(folder / "state.json")["tensors"])


def curve(out):
    """The history without what depends on the clock."""
    rows = list(csv.DictReader((out / "history.csv").open()))
    return [{name: value for name, value in row.items() if name != "train/faces_per_second"} for row in rows]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def steps_done(out):
    """Steps of the checkpoint, 0 before there is one."""
    path = out / "last" / "state.json"
    if not path.exists():
        return 0
    progress = read_json(path)["progress"]
    return 3 * progress["epoch"] + progress["step"]


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_processes_equal_one(tiny, shards, tmp_path, start, command):
    """T28: same global batches, labels spread unevenly, transfer losses and their noise on."""
    config = tiny(
        **{"train.association.start_margin": 0.0, "train.association.ramp_epochs": 1, "train.lr": 0.001},
    )
    process = start(command(config, shards, tmp_path / "two", processes=2))
    train(config.run, shards=shards, out=tmp_path / "one")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    one, two = tensors_of(tmp_path / "one"), tensors_of(tmp_path / "two")
    for name in one:
        if name.startswith(("net/", "ema/")):
            assert torch.allclose(one[name], two[name], rtol=0, atol=1e-5), name
    metrics_one, metrics_two = load_weights(tmp_path / "one")[1].metrics, load_weights(tmp_path / "two")[1].metrics
    for name in ("val/nme_interocular", "val/accuracy", "val/macro_f1", "assoc/margin"):
        assert metrics_two[name] == pytest.approx(metrics_one[name], abs=1e-3)


@pytest.fixture(scope="module")
def long_run(tiny, shards, tmp_path_factory):
    """A training of 30 steps with a checkpoint at each, and its uninterrupted result."""
    config = tiny(**{"train.epochs": 10, "train.checkpoint_every": 1, "train.val_every": 5})
    out = tmp_path_factory.mktemp("straight")
    train(config.run, shards=shards, out=out)
    return config, out


@pytest.mark.parametrize("after", [1, 14])
def test_sigterm_leaves_a_checkpoint_that_goes_on_bit_for_bit(after, long_run, shards, tmp_path, start, command):
    """T26."""
    config, straight = long_run
    process = start(command(config, shards, tmp_path))
    wait_for(lambda: steps_done(tmp_path) >= after)
    asked = time.monotonic()
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "asked to end" in output
    assert time.monotonic() - asked < 10
    assert steps_done(tmp_path) < 30
    train(config.run, shards=shards, out=tmp_path)
    assert same(tensors_of(tmp_path), tensors_of(straight))
    assert curve(tmp_path) == curve(straight)


def test_kill_leaves_a_checkpoint_that_goes_on_bit_for_bit(long_run, shards, tmp_path, start, command):
    """T25, one process."""
    config, straight = long_run
    process = start(command(config, shards, tmp_path))
    wait_for(lambda: steps_done(tmp_path) >= 7)
    process.kill()
    process.wait()
    train(config.run, shards=shards, out=tmp_path)
    assert same(tensors_of(tmp_path), tensors_of(straight))
    assert curve(tmp_path) == curve(straight)


@pytest.mark.parametrize("victim", ["rank 0", "rank 1", "agent"])
def test_a_killed_member_ends_the_team_which_resumes(victim, long_run, shards, tmp_path, start, command):
    """T25, two processes: no orphan, and the same command finishes the training."""
    config, _ = long_run
    team = command(config, shards, tmp_path, processes=2)
    process = start(team)
    wait_for(lambda: steps_done(tmp_path) >= 2)
    target = process.pid if victim == "agent" else children(process.pid)[int(victim[-1])]
    os.kill(target, signal.SIGKILL)
    asked = time.monotonic()
    process.communicate(timeout=60)
    wait_for(lambda: not _alive(process.pid))
    assert time.monotonic() - asked < 60
    assert process.returncode != 0
    again = start(team)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert steps_done(tmp_path) == 30
