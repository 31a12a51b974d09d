"""Drawn faces in shards: small, fast, and with an answer that pixels give away."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from model.config import Config, ShardConfig, dump_config, load_config, override, parse_config
from model.data.manifest import write_manifest
from model.data.shards import write_shards
from model.net.multitask import MultiTaskNet, build_net
from model.schema import EXPRESSIONS, LANDMARKS, LANDMARKS_19, FaceBatch, FaceRecord
from model.storage import digest_bytes
from model.train.mean_shape import template

ROOT = Path(__file__).parents[2]
SIDE = 48
CLOCK = ("train/faces_per_second", "train/share_of_device")
"""Columns of the history that differ from run to run."""
# Mouth corners down or up, mouth open, brows up, lids apart: enough to tell seven classes by shape.
_STYLE = {
    "neutral": (0.0, 0.0, 0.0, 0.0),
    "happy": (-0.06, 0.02, 0.0, 0.0),
    "sad": (0.06, 0.0, 0.0, -0.01),
    "surprise": (0.0, 0.12, -0.06, 0.02),
    "fear": (0.03, 0.06, -0.05, 0.03),
    "disgust": (0.03, -0.03, 0.04, -0.02),
    "anger": (0.0, -0.02, 0.06, 0.0),
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    """Several processes of a test have no GPU each, and what they compute is compared with one process here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        # Once this process has looked at its GPUs, the environment tells it no more.
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


@pytest.fixture(scope="session")
def tiny():
    """Builder of a cheap configuration: fp32, no augmentation, no dropout, small faces; dotted names override."""
    return _tiny


@pytest.fixture(scope="session")
def drawn_shards():
    """Builder of shards of drawn faces."""
    return _make_shards


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory) -> Path:
    """24 training faces (a third with both labels, a third each with one) and 12 held-out ones."""
    return _make_shards(tmp_path_factory.mktemp("drawn"), train=24, val=12)


@pytest.fixture(scope="session")
def command():
    """Builder of a training command of its own process, or of several."""
    return _command


@pytest.fixture
def faces():
    """Builder of a batch of made faces in memory; by default each has all labels."""
    return _faces


@pytest.fixture
def make_net(tiny):
    """Builder of a tiny network whose exchange and association are not at their zero start."""
    return lambda **overrides: _make_net(tiny(**overrides))


def _command(config: Config, shards: Path, out: Path, *, processes: int = 1) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    params = out / "params.yaml"
    params.write_text(yaml.safe_dump(dump_config(config), sort_keys=False))
    launcher = [sys.executable]
    if processes > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, "-m", "model.train", f"--params={params}", f"--shards={shards}", f"--out={out}"]


def _faces(number: int = 4, *, size: int = 32, seed: int = 0) -> FaceBatch:
    generator = torch.Generator().manual_seed(seed)
    points = torch.tensor(template(), dtype=torch.float32)
    noise = 0.02 * torch.randn(number, LANDMARKS, 2, generator=generator)
    return FaceBatch(
        image_BCHW=torch.randint(0, 256, (number, 3, size, size), generator=generator).to(torch.uint8),
        landmarks_BK2=points + noise,
        landmarks_mask_BK=torch.ones(number, LANDMARKS, dtype=torch.bool),
        points19_BM2=torch.rand(number, LANDMARKS_19, 2, generator=generator),
        points19_mask_BM=torch.ones(number, LANDMARKS_19, dtype=torch.bool),
        expression_BE=torch.eye(len(EXPRESSIONS))[torch.arange(number) % len(EXPRESSIONS)],
        expression_mask_B=torch.ones(number, dtype=torch.bool),
        label_B=torch.arange(number) % len(EXPRESSIONS),
        source_B=torch.zeros(number, dtype=torch.int64),
        row_B=torch.arange(number),
    )


def _make_net(config: Config) -> MultiTaskNet:
    net = build_net(config.train.net, config.train.association, mean_shape_K2=template(), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return net


def _tiny(**overrides: object) -> Config:
    cheap = {
        "train.epochs": 2,
        "train.batch_size": 8,
        "train.precision": "fp32",
        "train.channels_last": False,
        "train.warmup_epochs": 0.0,
        "train.net.input_size": 32,
        "train.net.width": 0.5,
        "train.net.dropout": 0.0,
        "train.checkpoint_every": 0,
    }
    still = {f"train.augment.{name}": 0.0 for name in load_config(ROOT / "params.yaml").train.augment.model_dump()}
    return _change(load_config(ROOT / "params.yaml"), **{**cheap, **still, **overrides})


def _change(config: Config, **overrides: object) -> Config:
    return parse_config(override(dump_config(config), overrides), origin="test")


def _make_shards(
    folder: Path, *, train: int, val: int, both: bool = False, shuffled: bool = False, same_val: bool = False
) -> Path:
    """Shards of drawn faces.

    `both` labels every training face twice, `shuffled` permutes its classes, `same_val` holds the training faces out.
    """
    generator = np.random.default_rng(7)
    records = [_record(folder, "train", number, generator, both=both) for number in range(train)]
    if shuffled:
        names = generator.permutation([record.expression or "" for record in records])
        records = [replace(record, expression=str(name) or None) for record, name in zip(records, names, strict=True)]
    records += [_record(folder, "val", number, generator, both=True) for number in range(val)]
    if same_val:
        records += [replace(record, record_id=f"again-{record.record_id}", split="val") for record in records]
    write_manifest(folder / "manifest.parquet", records)
    shard = ShardConfig(faces_per_shard=64, max_side=256, window=2.0)
    write_shards(shard, manifest=folder / "manifest.parquet", data=folder, out=folder / "shards")
    return folder / "shards"


def _record(folder: Path, split: str, number: int, generator: np.random.Generator, *, both: bool) -> FaceRecord:
    name = EXPRESSIONS[number % len(EXPRESSIONS)]
    points = _draw_points(name, generator) * SIDE
    content = cv2.imencode(".png", _draw_face(points, generator))[1].tobytes()
    path = folder / f"{split}{number:03d}.png"
    path.write_bytes(content)
    has_points, has_expression = both or number % 3 != 1, both or number % 3 != 2
    return FaceRecord(
        record_id=path.stem,
        source="points" if has_points else "names",
        split=split,
        subset=split,
        group=path.stem,
        image=path.name,
        sha256=digest_bytes(content),
        width=SIDE,
        height=SIDE,
        box=[*points.min(axis=0).tolist(), *points.max(axis=0).tolist()],
        points=points.ravel().tolist() if has_points else None,
        points_mask=[True] * len(points) if has_points else None,
        expression=name if has_expression else None,
    )


def _draw_points(name: str, generator: np.random.Generator) -> np.ndarray:
    corners, opening, brows, lids = _STYLE[name]
    points = template()
    points[[48, 54, 60, 64], 1] += corners
    points[[55, 56, 57, 58, 59, 65, 66, 67], 1] += opening
    points[17:27, 1] += brows
    points[[37, 38, 43, 44], 1] -= lids
    points += generator.normal(0, 0.004, points.shape)
    return (points - 0.5) * generator.uniform(0.75, 0.85) + 0.5 + generator.uniform(-0.04, 0.04, 2)


def _draw_face(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    scale = 8
    canvas = np.full((SIDE * scale, SIDE * scale, 3), generator.integers(20, 80), np.uint8)
    place = ((points + 0.5) * scale).astype(np.int32)
    cv2.fillPoly(canvas, [np.concatenate([place[:17], place[26:16:-1]])], (200, 180, 160))
    for part, colour in ((slice(36, 42), (40, 40, 60)), (slice(42, 48), (40, 40, 60)), (slice(48, 60), (60, 60, 190))):
        cv2.fillPoly(canvas, [place[part]], colour)
    for part in (slice(17, 22), slice(22, 27), slice(27, 31), slice(31, 36)):
        cv2.polylines(canvas, [place[part]], False, (30, 30, 30), 2 * scale // 2)
    return cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
