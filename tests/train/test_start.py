import logging

import pytest
import torch
from safetensors.torch import save_file

from model.errors import CheckpointError
from model.net.inference import FaceNet
from model.storage import digest_file
from model.train.loop import train
from model.train.start import take_over
from model.weights import load_meta, load_weights


def test_tensors_of_equal_name_and_shape_are_taken_over_and_counted(tmp_path, make_net, caplog):
    net = make_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    stem, other = "trunk.stem.0.weight", "trunk.stem.1.weight"
    file = {stem: torch.full_like(before[stem], 2.0).bfloat16(), other: torch.zeros(3), "stray": torch.zeros(1)}
    save_file(file, tmp_path / "weights.safetensors")
    with caplog.at_level(logging.INFO):
        digest = take_over(net, tmp_path)
    assert digest == digest_file(tmp_path / "weights.safetensors")
    assert f"1 tensors taken over, {len(before) - 1} of the network start fresh, 2 of the file" in caplog.text
    state = net.state_dict()
    assert bool((state[stem] == 2).all())
    assert all(torch.equal(state[name], before[name]) for name in before if name != stem)


def test_weights_of_which_nothing_fits_are_refused(tmp_path, make_net):
    save_file({"stray": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=rf"{tmp_path}.*none of its 1 tensors"):
        take_over(make_net(), tmp_path)


def test_a_missing_folder_is_named(tmp_path, make_net):
    with pytest.raises(CheckpointError, match=r"nowhere.*cannot be read"):
        take_over(make_net(), tmp_path / "nowhere")


def test_training_starts_from_given_weights_in_the_net_and_in_its_average(tiny, tiny_shards, tmp_path):
    """A learning rate of nothing leaves them as they were, and the description says where they came from."""
    first = train(tiny(**{"train.epochs": 1}).run, shards=tiny_shards, out=tmp_path / "first")
    config = tiny(**{"train.epochs": 1, "train.lr": 1e-12, "train.start_from": str(tmp_path / "first"), "seed": 9})
    train(config.run, shards=tiny_shards, out=tmp_path / "second")
    started, meta = load_weights(tmp_path / "second")
    for name, tensor in load_weights(tmp_path / "first")[0].items():
        torch.testing.assert_close(started[name], tensor, rtol=0, atol=1e-8, msg=name)
    assert meta.start_digest == first.weights_digest
    assert load_meta(tmp_path / "first").start_digest == ""


def test_the_pre_trained_trunk_trains_and_answers(tiny, tiny_shards, tmp_path):
    net = {"train.net.trunk": "lite0", "train.net.width": 1.0}
    train(tiny(**net, **{"train.epochs": 1}).run, shards=tiny_shards, out=tmp_path)
    assert FaceNet.load(tmp_path).meta.net.trunk == "lite0"
