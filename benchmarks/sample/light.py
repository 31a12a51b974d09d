"""Light on the head: a key light with shadow, a fill, and a sky and ground ambient."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.sample.schema import Floats


@dataclass(frozen=True)
class Light:
    """Directions point from the head to the light in the camera's frame; colours are linear RGB."""

    name: str
    key_direction: Floats
    key_colour: Floats
    fill_direction: Floats
    fill_colour: Floats
    sky: Floats
    ground: Floats


class _Ranges(NamedTuple):
    azimuth: tuple[float, float]
    height: tuple[float, float]
    key: tuple[float, float]
    ambient: tuple[float, float]


_RANGES = {
    "front": _Ranges((0, 35), (5, 40), (0.8, 1.6), (0.2, 0.55)),
    "side": _Ranges((40, 70), (-5, 35), (0.9, 1.6), (0.3, 0.6)),
    "top": _Ranges((0, 40), (45, 60), (0.9, 1.5), (0.35, 0.65)),
    "flat": _Ranges((0, 20), (20, 40), (0.1, 0.35), (0.75, 1.2)),
}


def draw_light(rng: np.random.Generator) -> Light:
    """Draw frontal, side, top or flat light of varied strength and colour."""
    name = str(rng.choice(["front", "side", "top", "flat"], p=[0.35, 0.3, 0.15, 0.2]))
    ranges = _RANGES[name]
    azimuth = float(rng.choice([-1, 1]) * rng.uniform(*ranges.azimuth))
    ambient = float(rng.uniform(*ranges.ambient))
    return Light(
        name=name,
        key_direction=_direction(azimuth, float(rng.uniform(*ranges.height))),
        key_colour=float(rng.uniform(*ranges.key)) * _tint(rng),
        fill_direction=_direction(-azimuth + float(rng.normal(0, 20)), float(rng.uniform(-20, 30))),
        fill_colour=float(rng.uniform(0.0, 0.4)) * _tint(rng),
        sky=ambient * _tint(rng),
        ground=ambient * float(rng.uniform(0.3, 0.9)) * _tint(rng),
    )


def _direction(azimuth: float, height: float) -> Floats:
    """Unit vector for degrees to the picture's right and upwards of the viewer."""
    a, h = np.radians([azimuth, height])
    return np.asarray([np.sin(a) * np.cos(h), -np.sin(h), -np.cos(a) * np.cos(h)])


def _tint(rng: np.random.Generator) -> Floats:
    """Warm to cool white."""
    warmth = rng.normal(0, 0.09)
    return np.asarray([1 + warmth, 1 + 0.25 * rng.normal(0, 0.06), 1 - warmth])
