"""Drawn faces whose shape tells the expression, as far as noise lets it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.config import Config, dump_config, override, parse_config
from model.data.codec import tight_box
from model.schema import EXPRESSIONS, FaceRecord
from model.storage import digest_bytes
from model.train.mean_shape import template
from tests.data.layouts import encoded, texture, write
from tests.untrained import make_weights

SIDE = 64
_NOISE = 0.006
# Mouth corners down, mouth open, brows up.
_STYLE = {
    "neutral": (0.0, 0.0, 0.0),
    "happy": (-0.04, 0.02, 0.0),
    "sad": (0.04, 0.0, 0.0),
    "surprise": (0.0, 0.1, -0.05),
    "fear": (0.03, 0.04, -0.03),
    "disgust": (0.02, -0.03, 0.03),
    "anger": (0.0, -0.02, 0.05),
}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[list[FaceRecord], Path]]:
    """`drawn(number)` gives records of as many faces, two a person, and the folder of their pictures."""
    data = tmp_path_factory.mktemp("drawn")

    def draw(number: int) -> tuple[list[FaceRecord], Path]:
        return [_face(data, row) for row in range(number)], data

    return draw


@pytest.fixture
def points_alone(config: Config) -> Config:
    """The configuration of a small network that finds points and nothing else."""
    return parse_config(override(dump_config(config), _SMALL), origin="test")


@pytest.fixture
def landmark_weights(points_alone: Config, tmp_path: Path) -> Path:
    """Untrained weights that would find points; faces that have theirs do not ask them."""
    return make_weights(points_alone, tmp_path / "landmarks", seed=0)


_SMALL = {
    "train.net.tasks": ["landmarks"],
    "train.net.residual.kind": "none",
    "train.net.input_size": 32,
    "train.net.width": 0.5,
    "train.association.learn_weight": 0.0,
    "train.association.to_expression_weight": 0.0,
    "train.association.to_landmarks_weight": 0.0,
}


def _face(data: Path, row: int) -> FaceRecord:
    generator = np.random.default_rng(row)
    person = np.random.default_rng(10_000 + row // 2).normal(0, _NOISE, (68, 2))
    name = EXPRESSIONS[row % len(EXPRESSIONS)]
    corners, opening, brows = _STYLE[name]
    points = template() + person + generator.normal(0, _NOISE, (68, 2))
    points[[48, 54, 60, 64], 1] += corners
    points[[55, 56, 57, 58, 59, 65, 66, 67], 1] += opening
    points[17:27, 1] += brows
    points = np.round((points - 0.5) * 0.9 * SIDE + SIDE / 2, 3)
    path = data / f"{row}.png"
    if not path.exists():
        write(path, encoded(texture(row, SIDE), ".png"))
    return FaceRecord(
        record_id=f"drawn/{row}",
        source="drawn",
        split="train",
        subset="all",
        group=f"p{row // 2}",
        image=path.name,
        sha256=digest_bytes(path.read_bytes()),
        width=SIDE,
        height=SIDE,
        box=list(tight_box(points)),
        points=points.ravel().tolist(),
        points_mask=[True] * 68,
        expression=name,
    )
