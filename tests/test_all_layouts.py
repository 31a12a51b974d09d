"""Every official layout in one training: each source teaches its own heads, and directly no other."""

import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.config import Config, IndexConfig, TrainConfig, load_config
from model.config.data import LeakageConfig
from model.data.index import build_index
from model.data.loader import make_loader
from model.data.shards import read_points, write_shards
from model.data.validate import validate_manifest
from model.net.multitask import MultiTaskNet, build_net
from model.schema import FaceBatch, LossTerms
from model.train.loop import train
from model.train.losses import multitask_loss, task_losses
from model.train.mean_shape import mean_shape
from tests.data.layouts import make_all

TEACHES = {
    "w300": "landmarks",
    "aflw": "points19",
    "affectnet": "expression",
    "affectnet2021": "expression",
    "rafdb": "expression",
    "fer": "expression",
    "made": "both",
}
TERMS = {
    "landmarks": {"landmarks", "landmarks_base", "heatmap"},
    "points19": {"points19"},
    "expression": {"expression", "expression_base"},
}
TERMS["both"] = TERMS["landmarks"] | TERMS["expression"]
# Parts that serve one task alone, by the start of their parameters' names.
PARTS = {
    "landmarks": ("head_l.", "exchange.g.", "exchange.r_l."),
    "points19": ("head_19.",),
    "expression": ("head_e.", "exchange.h.", "exchange.r_e."),
}
PARTS["both"] = PARTS["landmarks"] + PARTS["expression"]
ALL_PARTS = PARTS["both"] + PARTS["points19"]
FACES = 512


@pytest.fixture(scope="module")
def two_steps(root: Path) -> Config:
    """A small network with AFLW's head, direct losses alone, faces as they are, all of them in a batch."""
    config = load_config(root / "params.yaml")
    values = {
        "epochs": 1,
        "steps_per_epoch": 2,
        "batch_size": 64,
        "warmup_epochs": 0.0,
        "precision": "fp32",
        "channels_last": False,
        "loader_workers": 0,
    }
    still = config.train.augment.model_copy(update=dict.fromkeys(type(config.train.augment).model_fields, 0.0))
    net = config.train.net.model_copy(update={"aflw_head": True, "input_size": 32, "size": "nano", "dropout": 0.0})
    silent = {"to_expression_weight": 0.0, "to_landmarks_weight": 0.0, "pseudo_weight": 0.0}
    association = config.train.association.model_copy(update=silent)
    parts = {"net": net, "augment": still, "association": association}
    return config.model_copy(update={"train": config.train.model_copy(update=values | parts)})


@pytest.fixture(scope="module")
def shards(two_steps: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All layouts through index, validate and shard."""
    root = tmp_path_factory.mktemp("layouts")
    data, artifacts = root / "data", root / "artifacts"
    sources = IndexConfig(sources=tuple(make_all(data)), holdout=0.2, exclude=())
    build_index(sources, data=data, out=artifacts, seed=0)
    leakage = LeakageConfig(exact="stop", near="stop", group="stop")
    validate = two_steps.validate_.model_copy(update={"leakage": leakage, "expected": {}})
    manifest = artifacts / "manifest.parquet"
    validate_manifest(validate, manifest=manifest, data=data, artifacts=artifacts, reports=root / "reports")
    valid = artifacts / "manifest.valid.parquet"
    write_shards(two_steps.shard, manifest=valid, data=data, out=artifacts / "shards")
    return artifacts / "shards"


@pytest.fixture(scope="module")
def batches(two_steps: Config, shards: Path) -> dict[str, FaceBatch]:
    """All training faces, parted by source."""
    config = two_steps.train.model_copy(update={"batch_size": FACES})
    loader = make_loader(shards, "train", config, training=False, rank=0, world=1, seed=0)
    (batch,) = loader
    return {
        name: FaceBatch(*(item[batch.source_B == number] for item in batch))
        for number, name in enumerate(loader.sources)
    }


@pytest.fixture
def net(two_steps: Config, shards: Path) -> MultiTaskNet:
    """The network with an exchange that is not at its zero start, where every gradient would be zero."""
    shape = mean_shape(*read_points(shards, "train", two_steps.train.net.crop_scale))
    built = build_net(two_steps.train.net, two_steps.train.association, mean_shape_K2=shape, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return built.train()


def loss_of(net: MultiTaskNet, batch: FaceBatch, config: TrainConfig) -> tuple[LossTerms, Tensor]:
    """Terms of a batch, and the sum of what its tasks lose."""
    terms = multitask_loss(net(batch.image_BCHW), batch, config.loss)
    means = {name: term.total / term.number.clamp(min=1) for name, term in terms.items()}
    return terms, torch.stack(list(task_losses(means, config.loss).values())).sum()


def taught(net: MultiTaskNet) -> set[str]:
    """Parts of which a parameter has a gradient that is not exactly zero."""
    moved = [name for name, item in net.named_parameters() if item.grad is not None and item.grad.any()]
    return {part for part in ALL_PARTS if any(name.startswith(part) for name in moved)}


def test_every_layout_reaches_the_loader(batches: dict[str, FaceBatch]) -> None:
    assert set(batches) == set(TEACHES)
    assert all(len(batch.row_B) > 0 for batch in batches.values())


@pytest.mark.parametrize("source", TEACHES)
def test_a_source_teaches_its_own_heads_and_directly_no_other(
    source: str, batches: dict[str, FaceBatch], net: MultiTaskNet, two_steps: Config
) -> None:
    terms, loss = loss_of(net, batches[source], two_steps.train)
    assert {name for name, term in terms.items() if term.number > 0} == TERMS[TEACHES[source]]
    assert all(terms[name].total > 0 for name in TERMS[TEACHES[source]])
    loss.backward()
    assert taught(net) == set(PARTS[TEACHES[source]])


def test_one_batch_of_all_sources_teaches_every_head(
    batches: dict[str, FaceBatch], net: MultiTaskNet, two_steps: Config
) -> None:
    whole = FaceBatch(*(torch.cat(items) for items in zip(*batches.values(), strict=True)))
    terms, loss = loss_of(net, whole, two_steps.train)
    assert set(terms) == TERMS["both"] | TERMS["points19"]
    loss.backward()
    assert taught(net) == set(ALL_PARTS)


def test_two_steps_of_training_take_every_layout(two_steps: Config, shards: Path, tmp_path: Path) -> None:
    loader = make_loader(shards, "train", two_steps.train, training=True, rank=0, world=1, seed=two_steps.seed)
    assert {loader.sources[number] for number in next(iter(loader)).source_B.tolist()} == set(TEACHES)
    result = train(two_steps.run, shards=shards, out=tmp_path)
    with (tmp_path / "history.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    for name in TERMS["both"] | TERMS["points19"]:
        assert float(row[f"train/{name}"]) > 0, name
    assert result.epoch == 0
    assert {"val/nme_interocular", "val/macro_f1"} <= set(result.metrics)
