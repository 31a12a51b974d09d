"""What a device can do at the most, by which training's speed is judged."""

import csv
import time

import pytest
import torch

from model.train.loop import train
from model.train.speed import faces_at_the_limit, multiply_adds_a_second

CPU = torch.device("cpu")


def plain_rate(side: int = 512, tries: int = 15) -> float:
    """Multiply-adds a second in fp32, of the product that nothing else on the machine came between."""
    matrix, seconds = torch.ones(side, side), []
    for _ in range(tries):
        begun = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - begun)
    return float(side**3) / min(seconds)


def test_training_says_what_share_of_the_limit_it_reaches(tiny, tiny_shards, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("model.train.session.MEASURED", (("cpu", "fp32"),))
    train(tiny().run, shards=tiny_shards, out=tmp_path)
    for row in csv.DictReader((tmp_path / "history.csv").open()):
        assert 0 < float(row["train/share_of_device"]) < 1


def test_a_network_of_more_products_reaches_the_limit_at_fewer_faces(tiny, monkeypatch) -> None:
    monkeypatch.setattr("model.train.speed.multiply_adds_a_second", lambda *_: 1e9)
    small, large = tiny(**{"train.net.width": 0.5}).train, tiny(**{"train.net.width": 1.0}).train
    assert faces_at_the_limit(small, CPU) > faces_at_the_limit(large, CPU)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_limit_is_that_of_a_plain_product(precision: str) -> None:
    """A limit in bf16 that software imitates would be far lower, and training would look better than it is."""
    found = max(multiply_adds_a_second(CPU, precision) for _ in range(3))
    assert found > plain_rate() / 5
