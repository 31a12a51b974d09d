"""A drawn mean face, small networks and random faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import Config, NetConfig, load_config
from model.net.multitask import MultiTaskNet, build_net

Build = Callable[..., MultiTaskNet]


@pytest.fixture(scope="session")
def config() -> Config:
    return load_config(Path(__file__).parents[2] / "params.yaml", {"train.net.input_size": 32})


@pytest.fixture(scope="session")
def mean_shape() -> Tensor:
    """68 points of a symmetric face in crop units, drawn with arcs."""
    right_brow = [(0.22 + 0.055 * i, 0.30 - 0.03 * np.sin(np.pi * i / 4)) for i in range(5)]
    bridge = [(0.5, 0.38 + 0.06 * i) for i in range(4)]
    nostrils = [(0.5 + 0.045 * i, 0.62 + 0.01 * (i == 0)) for i in range(-2, 3)]
    right_eye = _ring(0.34, 0.40, 0.055, 0.025, [180, 240, 300, 0, 60, 120])
    mouth = _ring(0.5, 0.75, 0.12, 0.05, [180, 210, 240, 270, 300, 330, 0, 30, 60, 90, 120, 150])
    lips = _ring(0.5, 0.75, 0.09, 0.02, [180, 225, 270, 315, 0, 45, 90, 135])
    jaw = _ring(0.5, 0.42, 0.38, 0.5, list(np.linspace(180, 0, 17)))
    left_brow = [(1 - x, y) for x, y in reversed(right_brow)]
    left_eye = [(1 - right_eye[i][0], right_eye[i][1]) for i in (3, 2, 1, 0, 5, 4)]
    points = jaw + right_brow + left_brow + bridge + nostrils + right_eye + left_eye + mouth + lips
    return torch.tensor(points, dtype=torch.float64)


@pytest.fixture(scope="session")
def image() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="session")
def build(config: Config, mean_shape: Tensor) -> Build:
    """Builds a network of the configuration with changes to `train.net` and, as `residual`, to the exchange."""

    def with_changes(*, associate: bool = True, seed: int = 0, **changes: object) -> MultiTaskNet:
        net = _change(config.train.net, changes)
        association = config.train.association if associate else None
        return build_net(net, association, mean_shape_K2=mean_shape, seed=seed)

    return with_changes


def _change(net: NetConfig, changes: dict[str, object]) -> NetConfig:
    tree = net.model_dump()
    residual = changes.get("residual", {})
    assert isinstance(residual, dict)
    return NetConfig.model_validate({**tree, **changes, "residual": {**tree["residual"], **residual}})


def _ring(x: float, y: float, width: float, height: float, degrees: list[float]) -> list[tuple[float, float]]:
    # y grows downwards: 0 degrees is the picture's right, 90 its lower side for the jaw, hence 270 its upper side.
    angles = np.radians(degrees)
    return [(float(x + width * np.cos(a)), float(y + height * np.sin(a))) for a in angles]
