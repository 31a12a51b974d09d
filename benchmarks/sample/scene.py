"""One picture of a subject: pose, camera, light, background and what stands in the way."""

from dataclasses import dataclass

import numpy as np

from benchmarks.sample.camera import Camera, Window, tight_box
from benchmarks.sample.light import Light, draw_light
from benchmarks.sample.schema import Floats, Pose

_OCCLUDERS = ("none", "glasses", "sunglasses", "hand", "mask", "bar")
_OCCLUDER_SHARES = (0.84, 0.09, 0.01, 0.03, 0.01, 0.02)
_POSE_LIMITS = Pose(45.0, 25.0, 25.0)
_POSE_SPREAD = Pose(14.0, 6.0, 6.0)


@dataclass(frozen=True)
class Scene:
    """Everything of a picture but the subject's face."""

    camera: Camera
    light: Light
    occluder: str


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene; small turns of the head are more common than large ones."""
    yaw, pitch, roll = (
        float(np.clip(rng.normal(0, getattr(_POSE_SPREAD, axis)), -limit, limit))
        for axis, limit in (("yaw", _POSE_LIMITS.yaw), ("pitch", _POSE_LIMITS.pitch), ("roll", _POSE_LIMITS.roll))
    )
    return Scene(
        camera=Camera(Pose(yaw, pitch, roll), distance=float(np.exp(rng.uniform(np.log(0.55), np.log(1.8))))),
        light=draw_light(rng),
        occluder=str(rng.choice(_OCCLUDERS, p=_OCCLUDER_SHARES)),
    )


def portrait_window(rng: np.random.Generator, points: Floats) -> Window:
    """A wide picture: the tight box takes about 60 % of the width."""
    x0, y0, x1, y1 = tight_box(points)
    half = max((x1 - x0) / (2 * rng.uniform(0.52, 0.68)), (y1 - y0) / (2 * 0.8))
    shift = rng.uniform(-0.08, 0.08, 2) * half
    return Window(float((x0 + x1) / 2 + shift[0]), float((y0 + y1) / 2 - 0.12 * half + shift[1]), float(half))


def crop_window(rng: np.random.Generator, points: Floats) -> Window:
    """A face crop: a square of about 1.3 times the longer side of the tight box, jittered."""
    x0, y0, x1, y1 = tight_box(points)
    side = max(x1 - x0, y1 - y0)
    half = side * float(np.clip(rng.normal(1.3, 0.05), 1.18, 1.45)) / 2
    shift = np.clip(rng.normal(0, 0.03, 2), -0.07, 0.07) * side
    return Window(float((x0 + x1) / 2 + shift[0]), float((y0 + y1) / 2 + shift[1]), half)
