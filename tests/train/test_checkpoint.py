import os
from dataclasses import fields, replace

import pytest
import torch

from model.errors import CheckpointError
from model.storage import read_json
from model.train.checkpoint import Origin, Progress, drop_foreign, load, origin_of, pack, save, unpack

ORIGIN = Origin("config", "data", "shards", "code")
INDEX = {"data_digest": "d", "files": {}}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    progress = Progress(epoch=3, step=2, sums={"landmarks": [0.1, 3.0]}, best_score=0.1 + 0.2)
    tensors = {"a/b": torch.randn(3), "a/half": torch.randn(3).bfloat16(), "count": torch.tensor(5)}
    save(tmp_path, progress, tensors, ORIGIN)
    found = load(tmp_path, ORIGIN)
    assert found is not None
    assert found[0] == progress
    assert all(torch.equal(found[1][name], tensor) for name, tensor in tensors.items())


def test_no_checkpoint_is_none(tmp_path):
    assert load(tmp_path, ORIGIN) is None


def test_only_the_newest_checkpoint_is_kept(tmp_path):
    for step in range(3):
        save(tmp_path, Progress(step=step), {"a": torch.full((2,), float(step))}, ORIGIN)
    assert len(list((tmp_path / "last").iterdir())) == 2
    found = load(tmp_path, ORIGIN)
    assert found is not None
    assert found[0].step == 2


def test_a_kill_between_the_two_files_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    """T25."""
    save(tmp_path, Progress(step=1), {"a": torch.ones(2)}, ORIGIN)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("model.train.checkpoint.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, Progress(step=2), {"a": torch.zeros(2)}, ORIGIN)
    found = load(tmp_path, ORIGIN)
    assert found is not None
    assert found[0].step == 1
    assert torch.equal(found[1]["a"], torch.ones(2))


def test_what_is_not_finite_is_never_written(tmp_path):
    """T27."""
    save(tmp_path, Progress(step=1), {"a": torch.ones(2)}, ORIGIN)
    with pytest.raises(CheckpointError, match="net/a is not finite, the former checkpoint stays"):
        save(tmp_path, Progress(step=2), {"net/a": torch.tensor([1.0, torch.nan])}, ORIGIN)
    found = load(tmp_path, ORIGIN)
    assert found is not None
    assert found[0].step == 1


@pytest.mark.parametrize(
    ("name", "told"), [("config_digest", "configuration"), ("data_digest", "data"), ("shards_digest", "shards")]
)
def test_another_origin_is_refused(name, told, tmp_path):
    save(tmp_path, Progress(), {"a": torch.ones(2)}, ORIGIN)
    with pytest.raises(CheckpointError, match=rf"another {told}.*delete .*last to begin anew, or choose another"):
        load(tmp_path, replace(ORIGIN, **{name: "x"}))


def test_a_training_goes_on_under_changed_code(tmp_path):
    """Whose outputs must follow the code drops it before."""
    save(tmp_path, Progress(), {"a": torch.ones(2)}, ORIGIN)
    assert load(tmp_path, replace(ORIGIN, code_digest="x")) is not None


def test_an_altered_tensor_file_is_refused(tmp_path):
    save(tmp_path, Progress(), {"a": torch.ones(2)}, ORIGIN)
    path = tmp_path / "last" / read_json(tmp_path / "last" / "state.json")["tensors"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="altered since it was written"):
        load(tmp_path, ORIGIN)


def test_a_missing_tensor_file_is_refused(tmp_path):
    save(tmp_path, Progress(), {"a": torch.ones(2)}, ORIGIN)
    (tmp_path / "last" / read_json(tmp_path / "last" / "state.json")["tensors"]).unlink()
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        load(tmp_path, ORIGIN)


def test_origin_changes_with_the_section_train_and_not_with_others(tiny):
    base = origin_of(tiny().run, INDEX)
    assert origin_of(tiny().run, INDEX) == base
    assert origin_of(tiny(**{"train.lr": 0.5}).run, INDEX) != base
    assert origin_of(tiny(**{"seed": 5}).run, INDEX) != base
    assert origin_of(tiny(**{"evaluate.bootstrap": 7}).run, INDEX) == base


def test_origin_changes_with_the_shards_of_the_same_faces(tiny):
    sharded_anew = {**INDEX, "files": {"train": {"train-000000.tar": {"bytes": 1}}}}
    assert origin_of(tiny().run, sharded_anew) != origin_of(tiny().run, INDEX)


def test_origin_follows_the_content_of_the_weights_to_start_from(tiny, tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_bytes(content)
    a, b, c = (origin_of(tiny(**{"train.start_from": str(tmp_path / name)}).run, INDEX) for name in "abc")
    assert a == b
    assert a != c
    assert a != origin_of(tiny().run, INDEX)


def test_packed_parts_come_apart_again():
    parts = {"net": {"a.b": torch.ones(1)}, "ema": {"a.b": torch.zeros(1)}}
    packed = pack(**parts)
    assert unpack(packed, "net") == parts["net"]
    assert unpack(packed, "ema") == parts["ema"]


@pytest.mark.parametrize("name", [field.name for field in fields(Origin)])
def test_only_a_foreign_checkpoint_is_dropped(name, tmp_path):
    save(tmp_path, Progress(), {"a": torch.ones(2)}, ORIGIN)
    assert not drop_foreign(tmp_path, ORIGIN)
    assert load(tmp_path, ORIGIN) is not None
    assert drop_foreign(tmp_path, replace(ORIGIN, **{name: "other"}))
    assert load(tmp_path, ORIGIN) is None
    assert not drop_foreign(tmp_path, ORIGIN)


def test_a_spool_stays_only_with_a_checkpoint_to_go_on_from(tmp_path):
    """A log that follows the new training, or is told that it failed, would take the former one's curves for its."""
    spool = tmp_path / "metrics.jsonl"
    save(tmp_path, Progress(), {"a": torch.ones(2)}, ORIGIN)
    spool.touch()
    drop_foreign(tmp_path, ORIGIN)
    assert spool.exists()
    drop_foreign(tmp_path, replace(ORIGIN, config_digest="other"))
    assert not spool.exists()
    spool.touch()
    drop_foreign(tmp_path, ORIGIN)
    assert not spool.exists()


def test_the_newest_checkpoint_counts_when_the_clock_goes_back(tmp_path):
    """T23: the state names its tensors; the times of files say nothing."""
    save(tmp_path, Progress(step=1), {"a": torch.ones(2)}, ORIGIN)
    save(tmp_path, Progress(step=2), {"a": torch.zeros(2)}, ORIGIN)
    for file in (tmp_path / "last").iterdir():
        os.utime(file, (0, 0))
    foreign = tmp_path / "last" / "tensors-0.safetensors"
    foreign.write_bytes(b"of a run that was killed, by a clock an hour ahead")
    progress, tensors = load(tmp_path, ORIGIN)
    assert progress.step == 2
    assert tensors["a"].tolist() == [0, 0]
