"""Several processes, and processes that are killed. Each starts a real training from its command line."""

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from model.storage import read_json
from model.train.failure import read
from model.train.loop import train
from model.weights import load_weights
from tests.train.conftest import CLOCK

pytestmark = pytest.mark.ddp

# A stale address of a killed worker would cost a restart its first try.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


@pytest.fixture(scope="module")
def shards(drawn_shards, tmp_path_factory):
    """Eleven held-out faces: the last batch is uneven, and one of two processes has none of it."""
    return drawn_shards(tmp_path_factory.mktemp("uneven"), train=24, val=11)


@pytest.fixture
def start():
    """Start a command in a session of its own; whatever is left of it at the end is killed."""
    started = []

    def run(command, **environment):
        process = subprocess.Popen(
            command,
            env={**os.environ, **ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        family = psutil.Process(process.pid).children(recursive=True) if psutil.pid_exists(process.pid) else []
        if _alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()


@pytest.fixture
def start_nodes(start, command):
    """Start two torchruns of one process each, that find each other as the nodes of a cluster do."""

    def run(config, shards, out, **environment):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        training = command(config, shards, out)[1:]
        meeting = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", *meeting]
        return [start([*torchrun, f"--node-rank={rank}", *training], **environment) for rank in range(2)]

    return run


@pytest.fixture
def start_bad(start, command):
    """Start a training whose last process meets trouble of some kind."""

    def run(kind, config, shards, out, *, processes=2, **environment):
        plain = command(config, shards, out, processes=processes)
        at = plain.index("model.train")
        script = Path(__file__).parent / "one_bad_process.py"
        return start([*plain[: at - 1], str(script), kind, *plain[at + 1 :]], **environment)

    return run


def tensors_of(out):
    folder = out / "last"
    return load_file(folder / read_json(folder / "state.json")["tensors"])


def curve(out):
    """The history without what depends on the clock."""
    rows = list(csv.DictReader((out / "history.csv").open()))
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def assert_close(out, other):
    one, two = tensors_of(out), tensors_of(other)
    for name in one:
        if name.startswith(("net/", "ema/")):
            assert torch.allclose(one[name], two[name], rtol=0, atol=1e-5), name


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
    assert_close(tmp_path / "one", tmp_path / "two")
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


@pytest.fixture
def start_one(start, command, shards):
    """Start a training in a process of its own."""
    return lambda config, out: start(command(config, shards, out))


@pytest.fixture
def go_on(shards, caplog):
    """Go on with a training in this process, from a checkpoint and not anew."""
    caplog.set_level("INFO")

    def run(config, out):
        train(config.run, shards=shards, out=out)
        assert "going on in epoch" in caplog.text

    return run


@pytest.mark.parametrize("after", [1, 14])
def test_sigterm_leaves_a_checkpoint_that_goes_on_bit_for_bit(after, long_run, tmp_path, start_one, go_on):
    """T26."""
    config, straight = long_run
    process = start_one(config, tmp_path)
    wait_for(lambda: steps_done(tmp_path) >= after)
    asked = time.monotonic()
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "asked to end" in output
    assert time.monotonic() - asked < 10
    assert steps_done(tmp_path) < 30
    go_on(config, tmp_path)
    assert same(tensors_of(tmp_path), tensors_of(straight))
    assert curve(tmp_path) == curve(straight)


def test_kill_leaves_a_checkpoint_that_goes_on_bit_for_bit(long_run, tmp_path, start_one, go_on):
    """T25, one process."""
    config, straight = long_run
    process = start_one(config, tmp_path)
    wait_for(lambda: steps_done(tmp_path) >= 7)
    process.kill()
    process.wait()
    go_on(config, tmp_path)
    assert same(tensors_of(tmp_path), tensors_of(straight))
    assert curve(tmp_path) == curve(straight)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["rank 0", "rank 1", "agent"])
def test_a_killed_member_ends_the_team_which_resumes(victim, long_run, shards, tmp_path, start, command):
    """T25, two processes: no orphan, and the same command finishes the training."""
    config, _ = long_run
    team = command(config, shards, tmp_path, processes=2)
    process = start(team)
    wait_for(lambda: steps_done(tmp_path) >= 2)
    below = psutil.Process(process.pid).children(recursive=True)
    target = process.pid if victim == "agent" else children(process.pid)[int(victim[-1])]
    os.kill(target, signal.SIGKILL)
    asked = time.monotonic()
    process.communicate(timeout=60)
    assert not psutil.wait_procs(below, timeout=60)[1]
    assert time.monotonic() - asked < 60
    assert process.returncode != 0
    again = start(team)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert "going on in epoch" in output
    assert steps_done(tmp_path) == 30


def test_two_nodes_equal_one_process(tiny, shards, tmp_path, start_nodes):
    """T28: two torchruns, as on two machines."""
    config = tiny(**{"train.epochs": 1, "train.lr": 0.001})
    nodes = start_nodes(config, shards, tmp_path / "two")
    train(config.run, shards=shards, out=tmp_path / "one")
    for node in nodes:
        output, _ = node.communicate(timeout=120)
        assert node.returncode == 0, output
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(
    ("number", "victim"),
    [(signal.SIGKILL, 1), (signal.SIGSTOP, 0), (signal.SIGSTOP, 1)],
    ids=["killed 1", "silent 0", "silent 1"],
)
@pytest.mark.long
def test_a_lost_node_ends_the_other_one(number, victim, long_run, shards, tmp_path, start_nodes):
    """T25: a killed node closes its connections, a stopped one is silent as a machine that has vanished."""
    config, _ = long_run
    nodes = start_nodes(config, shards, tmp_path, RMTL_HEARTBEAT_S="5")
    wait_for(lambda: steps_done(tmp_path) >= 2)
    lost, left = nodes[victim], nodes[1 - victim]
    # torchrun gives each process a session of its own.
    node = [psutil.Process(lost.pid), *psutil.Process(lost.pid).children(recursive=True)]
    for process in node:
        process.send_signal(number)
    asked = time.monotonic()
    output, _ = left.communicate(timeout=60)
    assert time.monotonic() - asked < 60
    for process in node:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert left.returncode == 1
    assert "another process" in output
    assert "start again with the same folder to resume" in output


@pytest.mark.parametrize("kind", ["nan", "memory", "memory in backward"])
def test_one_bad_step_of_one_process_is_skipped_by_all(kind, tiny, shards, tmp_path, start_bad):
    """T27: the result is that of one process which skips the same step."""
    config = tiny(**{"train.epochs": 2, "train.lr": 0.001})
    two = start_bad(kind, config, shards, tmp_path / "two")
    one = start_bad(kind, config, shards, tmp_path / "one", processes=1)
    for process in (one, two):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan for good", "is not finite, 4 steps in a row on 2 process(es)"),
        ("data", "train-000003.tar: altered since it was written"),
    ],
)
def test_all_processes_leave_together_on_an_error_of_one(kind, message, tiny, shards, tmp_path, start_bad):
    """T27: with the first message; the checkpoint before it is sound."""
    config = tiny(**{"train.epochs": 10, "train.checkpoint_every": 1})
    process = start_bad(kind, config, shards, tmp_path)
    wait_for(lambda: len(children(process.pid)) == 2)
    workers = [psutil.Process(pid) for pid in children(process.pid)]
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    # torchrun gives each worker a session of its own, so its own group would not tell.
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert message in output
    assert all(torch.isfinite(tensor).all() for tensor in tensors_of(tmp_path).values())


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("killed in backward", r"LostPeerError: .*another process has left"),
        ("memory", r"TrainingError: epoch 0, step 2: the batch does not fit into the memory of process 1 of 2"),
        ("memory in backward", r"TrainingError: epoch 0, step 2: the batch does not fit into the memory of process 1"),
    ],
)
def test_shared_norms_tell_the_cause_when_a_process_leaves_mid_pass(kind, failure, tiny, shards, tmp_path, start_bad):
    """T25, T27: the launcher starts again after a lost process alone."""
    config = tiny(**{"train.epochs": 10, "train.net.norm": "synced"})
    process = start_bad(kind, config, shards, tmp_path, RMTL_FAILURE_FILE=str(tmp_path / "failure.json"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    kept = read(tmp_path / "failure.json")
    assert re.match(failure, f"{kept.kind}: {kept.message}")


@pytest.mark.long
def test_norms_by_batch_resume_in_the_middle_of_an_epoch_bit_for_bit(tiny, shards, tmp_path, start, start_bad, command):
    """T25: each process has running statistics of its own, and the checkpoint holds one set."""
    config = tiny(**{"train.net.norm": "batch", "train.checkpoint_every": 1})
    straight = start(command(config, shards, tmp_path / "straight", processes=2))
    start_bad("killed in backward", config, shards, tmp_path / "killed").communicate(timeout=120)
    assert steps_done(tmp_path / "killed") == 2
    again = start(command(config, shards, tmp_path / "killed", processes=2))
    for process in (straight, again):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert same(tensors_of(tmp_path / "killed"), tensors_of(tmp_path / "straight"))


@pytest.mark.long
def test_a_process_that_hangs_is_waited_for_no_longer_than_set(tiny, shards, tmp_path, start_bad):
    """It lives and gives its signs of life, so the limit of a collective has to end it."""
    config = tiny(**{"train.epochs": 10})
    process = start_bad("hang", config, shards, tmp_path, RMTL_COLLECTIVE_TIMEOUT_S="5")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another process has left" in output
