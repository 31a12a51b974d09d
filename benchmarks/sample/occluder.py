"""Things before the face: glasses and masks that follow the head, hands and bars that do not."""

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.sample.camera import Camera, Window, to_pixels
from benchmarks.sample.headmesh import HeadMesh
from benchmarks.sample.schema import Floats

_SHIFT = 4  # sub-pixel bits of OpenCV's drawing
_RIM_POINTS = 48


@dataclass(frozen=True)
class View:
    """Where the face is in the picture, and its skin."""

    head: HeadMesh
    vertices: Floats
    camera: Camera
    window: Window
    skin: Floats

    def pixels(self, place: Floats, size: int) -> Floats:
        """Places on the head (N, 3) to pixels of a square picture."""
        return to_pixels(self.camera.project(place), self.window, size)


def add_occluder(rng: np.random.Generator, picture: Floats, name: str, view: View) -> None:
    """Draw occluder `name` over the RGB `picture` in place."""
    template = view.head.template
    match name:
        case "glasses" | "sunglasses":
            _glasses(rng, picture, view, dark=name == "sunglasses")
        case "mask":
            lower = (template[:, 2] < 0.693) & (template[:, 2] > 0.612) & (template[:, 1] < -0.075)
            _mask(rng, picture, view.pixels(view.vertices[lower], len(picture)))
        case "hand":
            _hand(rng, picture, view.pixels(view.vertices[view.head.landmarks], len(picture)), view.skin)
        case "bar":
            _bar(rng, picture)


def _glasses(rng: np.random.Generator, picture: Floats, view: View, *, dark: bool) -> None:
    frame = [float(c) for c in rng.uniform(0.02, 0.35) * (1 + rng.normal(0, 0.2, 3))]
    thick = max(1, round(len(picture) / 300 * rng.uniform(1.5, 5)))
    points = view.vertices[view.head.landmarks]
    rings = _rims(rng, points)

    def draw_line(places: Floats, *, closed: bool) -> None:
        outline = _fixed(view.pixels(places, len(picture)))
        cv2.polylines(picture, [outline], closed, frame, thick, cv2.LINE_AA, _SHIFT)

    for ring in rings:
        lens = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(lens, [_fixed(view.pixels(ring, len(picture)))], 255, cv2.LINE_AA, _SHIFT)
        share = (lens / 255.0 * (0.88 if dark else 0.06))[..., None]
        picture[:] = picture * (1 - share) + np.asarray(frame if dark else [0.8, 0.85, 0.9]) * share
        draw_line(ring, closed=True)
    inner = (rings[0][0], rings[1][_RIM_POINTS // 2])
    draw_line(np.stack([inner[0], (inner[0] + inner[1]) / 2 + [0, -0.002, 0.003], inner[1]]), closed=False)
    for ring, outermost, ear, side in ((rings[0], _RIM_POINTS // 2, 0, -1), (rings[1], 0, 16, 1)):
        if side * view.camera.pose.yaw < -5:
            hook = points[ear] + [side * 0.004, 0.012, 0.006]
            draw_line(np.stack([ring[outermost], hook]), closed=False)


def _rims(rng: np.random.Generator, points: Floats) -> list[Floats]:
    """Outlines of both lenses, round to nearly square, on a face-hugging curve before the eyes."""
    width, height, square = rng.uniform(0.021, 0.027), rng.uniform(0.014, 0.021), rng.uniform(0.5, 1.0)
    angle = np.linspace(0, 2 * np.pi, _RIM_POINTS, endpoint=False)
    across = width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** square
    up = height * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** square
    rims = []
    for eye in (points[36:42], points[42:48]):
        x = eye[:, 0].mean() + across
        rims.append(np.stack([x, points[27, 1] - 0.006 + 2.5 * x**2, eye[:, 2].mean() - 0.002 + up], axis=1))
    return rims


def _mask(rng: np.random.Generator, picture: Floats, covered: Floats) -> None:
    cloth = np.clip(rng.uniform(0.2, 0.9) * (1 + rng.normal(0, 0.2, 3)), 0.02, 0.95)
    hull = cv2.convexHull(covered.astype(np.float32))[:, 0]
    shape = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(shape, [_fixed(hull)], 255, cv2.LINE_AA, _SHIFT)
    rows = np.arange(len(picture))[:, None] / len(picture)
    folds = 0.9 + 0.08 * np.sin(rows * rng.uniform(60, 110)) + 0 * rows.T
    share = (shape / 255.0)[..., None]
    light = cv2.GaussianBlur(picture.mean(axis=2), (0, 0), len(picture) * 0.05)
    picture[:] = picture * (1 - share) + cloth * (0.35 + 0.9 * light * folds)[..., None] * share


def _hand(rng: np.random.Generator, picture: Floats, points: Floats, skin: Floats) -> None:
    """Four finger-like capsules that reach from outside the face on to cheek, mouth or brow."""
    size = np.ptp(points[:, 0])
    target = points[int(rng.choice([3, 6, 10, 13, 48, 54, 17, 26]))]
    outward = target - points.mean(axis=0)
    heading = np.arctan2(outward[1], outward[0]) + rng.normal(0, 0.3)
    along = np.asarray([np.cos(heading), np.sin(heading)])
    across = np.asarray([-along[1], along[0]])
    thick = size * rng.uniform(0.085, 0.12)
    exposure = cv2.GaussianBlur(picture.mean(axis=2), (0, 0), len(picture) * 0.1)[..., None]
    y, x = np.mgrid[: len(picture), : len(picture)]
    for finger in range(4):
        tip = target + across * (finger - 1.5) * thick * 1.05 - along * thick * float(rng.uniform(0.0, 1.2))
        gap = np.stack([x, y], axis=-1) - tip
        reach = np.clip(gap @ along, 0, size * 2)
        distance = np.linalg.norm(gap - reach[..., None] * along, axis=-1) / (thick / 2)
        shade = np.sqrt(np.clip(1 - distance**2, 0, 1))[..., None]
        share = np.clip((1 - distance) * thick / 2, 0, 1)[..., None]
        colour = skin**0.8 * (0.45 + 0.55 * shade) * (0.3 + exposure)
        picture[:] = picture * (1 - share) + np.clip(colour, 0, 1) * share


def _bar(rng: np.random.Generator, picture: Floats) -> None:
    """A soft-edged strip or block at a side of the picture."""
    size = len(picture)
    colour = rng.uniform(0.05, 0.8) * (1 + rng.normal(0, 0.1, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    reach = np.cos(angle) * x + np.sin(angle) * y
    share = np.clip((reach - rng.uniform(0.2, 0.34)) * size / rng.uniform(1, 8), 0, 1)[..., None]
    picture[:] = picture * (1 - share) + np.clip(colour, 0, 1) * share


def _fixed(points: Floats) -> Floats:
    fixed: Floats = np.round(points * 2**_SHIFT).astype(np.int32)
    return fixed
