"""Where a device has no bf16 arithmetic, asking for it means fp32."""

import logging

import pytest
import torch
from torch import nn

import model.train.learner as learner_module
import model.train.session as session_module
from model.train.loop import train


class Product(nn.Module):
    """Tells in which type a matrix product is computed."""

    def forward(self, image_BCHW: torch.Tensor) -> torch.dtype:
        flat_BN = image_BCHW.flatten(1)
        return (flat_BN @ flat_BN.T).dtype


@pytest.mark.parametrize(
    ("asked", "able", "computed"),
    [("bf16", True, torch.bfloat16), ("bf16", False, torch.float32), ("fp32", True, torch.float32)],
)
def test_bf16_is_used_where_it_was_asked_for_and_the_device_has_it(tiny, monkeypatch, asked, able, computed):
    monkeypatch.setattr(learner_module, "computes_bf16", lambda _device: able)
    config = tiny(**{"train.precision": asked}).train
    assert learner_module.forward_net(Product(), torch.zeros(2, 3, 8, 8), config) == computed


@pytest.fixture
def _no_bf16(monkeypatch):
    for module in (session_module, learner_module):
        monkeypatch.setattr(module, "computes_bf16", lambda _device: False)


@pytest.mark.usefixtures("_no_bf16")
@pytest.mark.parametrize(("asked", "told"), [("bf16", 1), ("fp32", 0)])
def test_training_says_once_that_it_computes_in_fp32_instead(tiny, tiny_shards, tmp_path, caplog, asked, told):
    with caplog.at_level(logging.WARNING):
        train(tiny(**{"train.precision": asked, "train.epochs": 1}).run, shards=tiny_shards, out=tmp_path / "out")
    assert caplog.text.count("no bf16 arithmetic; computing in fp32") == told
