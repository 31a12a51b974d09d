import csv
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import time
from subprocess import CompletedProcess

import pytest
import torch
from safetensors.torch import load_file

import model.train.loop as loop_module
import model.train.step as step_module
from model.data.batches import Batches
from model.errors import CheckpointError, FaceError, StorageError
from model.net.inference import FaceNet
from model.schema import Term
from model.storage import read_json
from model.train.checkpoint import unpack
from model.train.distributed import TrainingError
from model.train.interrupt import TerminatedError
from model.train.loop import train
from model.weights import WEIGHTS_FILE, _commit, load_weights
from tests.disk import full_disk
from tests.train.conftest import CLOCK


def checkpoint_tensors(out):
    folder = out / "last"
    return load_file(folder / read_json(folder / "state.json")["tensors"])


def curve(out):
    """The history without what depends on the clock."""
    rows = list(csv.DictReader((out / "history.csv").open()))
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def spool(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tiny, tiny_shards, tmp_path_factory):
    """Two epochs without a pause, with all transfer losses on from the start of the second epoch."""
    out = tmp_path_factory.mktemp("trained")
    config = tiny(**{"train.association.start_margin": 0.0, "train.association.ramp_epochs": 1})
    return config, out, train(config.run, shards=tiny_shards, out=out)


def test_training_leaves_weights_that_answer(trained, tiny_shards):
    _, out, result = trained
    state, meta = load_weights(out)
    assert meta.weights_digest == result.weights_digest
    assert meta.data_digest == result.data_digest == read_json(tiny_shards / "index.json")["data_digest"]
    assert meta.metrics == result.metrics
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    assert FaceNet.load(out).net is not None


def test_history_has_a_row_an_epoch_and_the_spool_starts_with_the_parameters(trained):
    config, out, _ = trained
    rows = curve(out)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"train/landmarks", "train/expression", "val/nme_interocular", "val/macro_f1", "assoc/ece"} <= set(rows[0])
    first, *rest = spool(out)
    assert first["params"]["train.loss.expression_weight"] == config.train.loss.expression_weight
    assert all({"step", "time", "values"} == set(line) for line in rest)


def test_one_epoch_and_one_more_equal_two(trained, tiny_shards, tmp_path):
    config, straight, whole = trained
    train(config.run, shards=tiny_shards, out=tmp_path, stop=lambda epoch, _: epoch == 0)
    assert [row["epoch"] for row in curve(tmp_path)] == ["1"]
    resumed = train(config.run, shards=tiny_shards, out=tmp_path)
    expected = checkpoint_tensors(straight)
    found = checkpoint_tensors(tmp_path)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert curve(tmp_path) == curve(straight)
    assert (resumed.epoch, resumed.weights_digest) == (whole.epoch, whole.weights_digest)


def test_a_full_disk_ends_training_and_the_former_checkpoint_goes_on(trained, tiny_shards, tmp_path):
    """T19: the message has place and bytes, and what was lost is trained again to the same result."""
    config, straight, _ = trained
    train(config.run, shards=tiny_shards, out=tmp_path, stop=lambda epoch, _: epoch == 0)
    before = checkpoint_tensors(tmp_path)
    with (
        full_disk(100_000),
        pytest.raises(StorageError, match=r"cannot be written after 100000 bytes \(File too large"),
    ):
        train(config.run, shards=tiny_shards, out=tmp_path)
    found = checkpoint_tensors(tmp_path)
    assert all(torch.equal(before[name], found[name]) for name in before)
    train(config.run, shards=tiny_shards, out=tmp_path)
    expected, found = checkpoint_tensors(straight), checkpoint_tensors(tmp_path)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_resume_prepares_no_batch_that_was_done(trained, tiny_shards, tmp_path, monkeypatch):
    config, _, _ = trained
    with monkeypatch.context() as patch, pytest.raises(TerminatedError):
        _signal_within(patch, loop_module, "train_step", 5)
        train(config.run, shards=tiny_shards, out=tmp_path)
    jobs = []
    prepare = Batches.__getitem__
    monkeypatch.setattr(Batches, "__getitem__", lambda own, job: jobs.append(job) or prepare(own, job))
    train(config.run, shards=tiny_shards, out=tmp_path)
    assert [job for job in jobs if job[0] == 1] == [(1, 2)]


def test_weights_name_the_commit_that_training_began_with(tiny, tiny_shards, tmp_path, monkeypatch, commits):
    real = loop_module.train_step

    def while_somebody_commits(*given, **options):
        commits.append("after")
        return real(*given, **options)

    monkeypatch.setattr(loop_module, "train_step", while_somebody_commits)
    train(tiny().run, shards=tiny_shards, out=tmp_path)
    assert load_weights(tmp_path)[1].code["git"] == "before"


@pytest.fixture
def commits(monkeypatch):
    """Commits of the repository, of which git tells the last one."""
    made = ["before"]
    monkeypatch.delenv("RMTL_GIT_REVISION", raising=False)
    monkeypatch.setattr(
        "model.weights.subprocess.run", lambda *_, **__: CompletedProcess([], 0, stdout=f"{made[-1]}\n")
    )
    _commit.cache_clear()
    yield made
    _commit.cache_clear()


def test_a_loader_process_that_dies_during_a_step_is_told(tiny, tiny_shards, tmp_path, monkeypatch):
    """T27: torch raises wherever this process is just then."""

    def while_the_kernel_kills(*_given, **_options):
        for worker in multiprocessing.active_children():
            worker.kill()
        time.sleep(10)

    monkeypatch.setattr(loop_module, "train_step", while_the_kernel_kills)
    with pytest.raises(FaceError, match=r"a loader process failed: DataLoader worker .* lower train\.loader_workers"):
        train(tiny(**{"train.loader_workers": 1}).run, shards=tiny_shards, out=tmp_path)


def test_a_finished_training_is_not_done_again(trained, tiny_shards, monkeypatch):
    config, out, result = trained
    monkeypatch.setattr("model.train.loop.train_step", lambda *_, **__: pytest.fail("a step was taken"))
    assert train(config.run, shards=tiny_shards, out=out) == result


def test_a_finished_training_whose_weights_are_gone_says_so(trained, tiny_shards, tmp_path):
    config, out, _ = trained
    shutil.copytree(out, tmp_path / "copy")
    (tmp_path / "copy" / WEIGHTS_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"its weights are gone; delete .*copy/last to train anew"):
        train(config.run, shards=tiny_shards, out=tmp_path / "copy")


def test_another_configuration_is_not_resumed(trained, tiny_shards):
    _, out, _ = trained
    with pytest.raises(CheckpointError, match=r"another configuration.*delete .*last"):
        train(_with_lr(trained), shards=tiny_shards, out=out)


def test_other_data_is_not_resumed(trained, drawn_shards, tmp_path):
    config, out, _ = trained
    other = drawn_shards(tmp_path, train=16, val=8)
    with pytest.raises(CheckpointError, match=r"made with another data: .*delete"):
        train(config.run, shards=other, out=out)


@pytest.mark.parametrize("place", ["step 1", "step 2", "step 3", "step 4", "step 5", "step 6", "validation"])
def test_sigterm_at_any_moment_costs_nothing(place, trained, tiny_shards, tmp_path, monkeypatch):
    """T26: the step is finished, the checkpoint written, and the rest equals a training without a pause."""
    with monkeypatch.context() as patch:
        if place == "validation":
            _signal_within(patch, loop_module, "validate", 2)
        else:
            _signal_within(patch, loop_module, "train_step", int(place.split()[1]))
        _end_and_go_on(trained, tiny_shards, tmp_path)


# Of the last of six steps only the moments before its end: afterwards there is nothing left to break off.
MOMENTS = [(name, nth) for name in ("_forward", "_reduce", "_problem", "_backward", "_note") for nth in range(1, 6)]


@pytest.mark.long
@pytest.mark.parametrize(("name", "nth"), random.Random(26).sample(MOMENTS, 20))
def test_sigterm_inside_a_step_costs_nothing(name, nth, trained, tiny_shards, tmp_path, monkeypatch):
    """T26: at twenty random places of the steps."""
    with monkeypatch.context() as patch:
        _signal_within(patch, step_module, name, nth)
        _end_and_go_on(trained, tiny_shards, tmp_path)


def _end_and_go_on(trained, shards, out):
    """A training that is asked to end on its way, and another call, equal one without a pause."""
    config, straight, _ = trained
    asked = time.monotonic()
    with pytest.raises(TerminatedError, match=r"asked to end in epoch \d after step \d; the checkpoint is written"):
        train(config.run, shards=shards, out=out)
    assert time.monotonic() - asked < 10
    train(config.run, shards=shards, out=out)
    found, expected = checkpoint_tensors(out), checkpoint_tensors(straight)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert curve(out) == curve(straight)


def test_sigterm_ends_with_the_code_of_a_terminated_process():
    assert TerminatedError.exit_code == 128 + signal.SIGTERM


def _signal_within(patch, module, name, nth):
    """Send SIGTERM to this process as the nth call of a function begins."""
    real, count = getattr(module, name), iter(range(1, 10**6))

    def interrupted(*given, **options):
        if next(count) == nth:
            os.kill(os.getpid(), signal.SIGTERM)
            options = {key: True if key == "leave" else value for key, value in options.items()}
        return real(*given, **options)

    patch.setattr(module, name, interrupted)


def _with_lr(trained):
    config, _, _ = trained
    return config.model_copy(update={"train": config.train.model_copy(update={"lr": 0.5})})


def test_a_map_that_only_listens_changes_nothing_else(tiny, tiny_shards, tmp_path):
    silent = {"train.epochs": 1, "train.association.start_margin": 1.0}
    states = []
    for weight in (0.0, 1.0):
        out = tmp_path / str(weight)
        train(tiny(**silent, **{"train.association.learn_weight": weight}), shards=tiny_shards, out=out)
        states.append(unpack(checkpoint_tensors(out), "net"))
    for name, tensor in states[0].items():
        same = torch.equal(tensor, states[1][name])
        assert same or name.startswith("association.")
    assert not torch.equal(states[0]["association.map.0.weight"], states[1]["association.map.0.weight"])


@pytest.mark.parametrize("weighting", ["uncertainty", "dwa", "famo"])
def test_each_weighting_trains_and_resumes(weighting, tiny, tiny_shards, tmp_path):
    config = tiny(**{"train.loss.weighting": weighting, "train.batch_size": 12})
    train(config.run, shards=tiny_shards, out=tmp_path / "straight")
    train(config.run, shards=tiny_shards, out=tmp_path / "paused", stop=lambda epoch, _: epoch == 0)
    train(config.run, shards=tiny_shards, out=tmp_path / "paused")
    assert curve(tmp_path / "paused") == curve(tmp_path / "straight")


def test_pseudo_labels_train(tiny, tiny_shards, tmp_path):
    config = tiny(
        **{
            "train.epochs": 1,
            "train.association.pseudo_weight": 1.0,
            "train.association.pseudo_confidence": 0.0,
            "train.association.pseudo_times_map": True,
        }
    )
    train(config.run, shards=tiny_shards, out=tmp_path)
    assert {"train/pseudo_expression", "train/pseudo_landmarks"} <= set(curve(tmp_path)[0])


def test_a_task_that_is_absent_is_absent_everywhere(tiny, tiny_shards, tmp_path):
    config = tiny(
        **{"train.epochs": 1, "train.net.tasks": ["landmarks"], "train.net.residual.kind": "none"},
    )
    result = train(config.run, shards=tiny_shards, out=tmp_path)
    assert "val/nme_interocular" in result.metrics
    assert not any("expression" in name or "f1" in name for name in curve(tmp_path)[0])


def poison(monkeypatch, steps):
    """Make the loss of these steps, counted from 0, infinite."""
    real, count = step_module.multitask_loss, iter(range(10**6))

    def spoilt(output, batch, config):
        terms = real(output, batch, config)
        if next(count) in steps:
            terms["landmarks"] = Term(terms["landmarks"].total * math.inf, terms["landmarks"].number)
        return terms

    monkeypatch.setattr(step_module, "multitask_loss", spoilt)


def test_few_bad_steps_are_skipped(tiny, tiny_shards, tmp_path, monkeypatch):
    """T27."""
    poison(monkeypatch, {1, 2})
    result = train(tiny(**{"train.max_bad_steps": 2}), shards=tiny_shards, out=tmp_path)
    assert math.isfinite(result.metrics["val/nme_interocular"])
    assert all(math.isfinite(float(row["train/landmarks"])) for row in curve(tmp_path))


def test_a_bad_step_leaves_no_trace_in_running_statistics(tiny, tiny_shards, tmp_path, monkeypatch):
    """T27: three steps of an epoch, the last one bad: each norm has counted the two good ones."""
    poison(monkeypatch, {2})
    train(tiny(**{"train.epochs": 1, "train.net.norm": "batch"}), shards=tiny_shards, out=tmp_path)
    tensors = checkpoint_tensors(tmp_path)
    counts = [tensor.item() for name, tensor in tensors.items() if name.endswith("num_batches_tracked")]
    assert counts
    assert set(counts) == {2}


def test_many_bad_steps_in_a_row_stop_with_step_and_term_and_a_sound_checkpoint(
    tiny, tiny_shards, tmp_path, monkeypatch
):
    """T27."""
    poison(monkeypatch, set(range(4, 100)))
    config = tiny(**{"train.max_bad_steps": 1, "train.epochs": 4, "train.checkpoint_every": 2})
    with pytest.raises(TrainingError, match=r"epoch 1, step 2: the loss term landmarks is not finite, 2 steps"):
        train(config.run, shards=tiny_shards, out=tmp_path)
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint_tensors(tmp_path).values())


def test_lack_of_memory_in_one_step_is_skipped(tiny, tiny_shards, tmp_path, monkeypatch):
    """T27."""
    real, count = step_module.forward_net, iter(range(10**6))

    def short(net, image, config):
        if next(count) == 1:
            raise torch.OutOfMemoryError("no room")
        return real(net, image, config)

    monkeypatch.setattr(step_module, "forward_net", short)
    train(tiny(**{"train.epochs": 1}), shards=tiny_shards, out=tmp_path)
    assert checkpoint_tensors(tmp_path)


def test_missing_shards_are_a_data_error(tiny, tmp_path):
    with pytest.raises(FaceError, match="no shards"):
        train(tiny(), shards=tmp_path / "none", out=tmp_path / "out")


@pytest.mark.behaviour
def test_sixteen_faces_are_learnt_by_heart(tiny, drawn_shards, tmp_path):
    """T30: the same faces are held out, so the network must know them."""
    config = tiny(
        **{
            "train.epochs": 20,
            "train.steps_per_epoch": 30,
            "train.batch_size": 16,
            "train.val_every": 20,
            "train.net.width": 1.0,
            "train.lr": 0.004,
            "train.weight_decay": 0.0,
            "train.loss.label_smoothing": 0.0,
        }
    )
    shards = drawn_shards(tmp_path, train=16, val=0, both=True, same_val=True)
    metrics = train(config.run, shards=shards, out=tmp_path / "out").metrics
    assert metrics["val/accuracy"] == 100
    assert metrics["val/nme_interocular"] < 0.5


@pytest.mark.behaviour
def test_shuffled_labels_teach_nothing_about_held_out_faces(tiny, drawn_shards, tmp_path):
    """T30: the control; right labels on the same faces do teach."""
    config = tiny(**{"train.epochs": 4, "train.steps_per_epoch": 30, "train.batch_size": 16, "train.val_every": 4})
    accuracy = {}
    for shuffled in (False, True):
        folder = tmp_path / str(shuffled)
        folder.mkdir()
        shards = drawn_shards(folder, train=112, val=70, both=True, shuffled=shuffled)
        accuracy[shuffled] = train(config.run, shards=shards, out=folder / "out").metrics["val/accuracy"]
    chance = 100 / 7
    assert accuracy[True] < chance + 16
    assert accuracy[False] > accuracy[True] + 30
