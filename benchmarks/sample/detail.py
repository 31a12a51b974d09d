"""Where lips, brows and beard lie on the template, as one picture in the frontal projection."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from benchmarks.sample.headmesh import HeadMesh
from benchmarks.sample.schema import Floats

SIZE = 512


@dataclass(frozen=True)
class DetailMap:
    """Channels (S, S, 4): depth inside the lips, distance to the brow line, place along it (0 inner, 1 tail), and
    beard where positive, dark lid edge where negative.

    `area` is x0, z0, width, height on the template in metres; the first row is the lowest.
    """

    channels: Floats
    area: tuple[float, float, float, float]


def bake_detail(head: HeadMesh) -> DetailMap:
    """Draw the map from the landmarks of the template."""
    points = head.template[head.landmarks][:, [0, 2]].astype(float)
    area = (-0.11, 0.60, 0.22, 0.22)
    axis = (np.arange(SIZE) + 0.5) / SIZE
    x, z = np.meshgrid(area[0] + axis * area[2], area[1] + axis * area[3])
    brow, along = _brow(points, np.abs(x), z)
    hairs = _beard(points, np.abs(x), z) - _lid_edge(points, np.abs(x), z)
    channels = np.stack([_lip_depth(points, area), brow, along, hairs], axis=-1)
    return DetailMap(channels.astype(np.float32), area)


def _lip_depth(points: Floats, area: tuple[float, float, float, float]) -> Floats:
    """Metres inside (positive) or outside the outer lip line."""
    ring = points[48:60]
    upper = _smooth(ring[:7])
    lower = _smooth(np.concatenate([ring[6:], ring[:1]]))
    line = np.concatenate([upper, lower[1:]])
    pixels = ((line - area[:2]) / area[2:] * SIZE * 16).astype(np.int32)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [pixels], 255, shift=4)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
    depth: Floats = (inside - outside) * area[2] / SIZE
    return depth


def _smooth(points: Floats) -> Floats:
    t = np.arange(len(points))
    curve: Floats = CubicSpline(t, points)(np.linspace(0, t[-1], 8 * len(points)))
    return curve


def _brow(points: Floats, x: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Distance in metres to the brow line and the place along it of the nearest point."""
    line = _smooth(points[22:27])
    gap = np.full(x.shape, np.inf)
    along = np.zeros(x.shape)
    for i, (a, b) in enumerate(line):
        distance = np.hypot(x - a, z - b)
        nearer = distance < gap
        gap[nearer] = distance[nearer]
        along[nearer] = i / (len(line) - 1)
    return gap, along


def _lid_edge(points: Floats, x: Floats, z: Floats) -> Floats:
    """Darkness of the lids' rims, the upper one stronger."""
    eye = points[42:48]
    upper, lower = _smooth(eye[:4]), _smooth(np.concatenate([eye[3:], eye[:1]]))
    rims = [np.min([np.hypot(x - a, z - b) for a, b in rim], axis=0) for rim in (upper, lower)]
    edge: Floats = np.maximum(np.exp(-((rims[0] / 0.0016) ** 2)), 0.55 * np.exp(-((rims[1] / 0.0010) ** 2)))
    return edge


def _beard(points: Floats, x: Floats, z: Floats) -> Floats:
    """Density of facial hair: jaw, chin and upper lip."""
    jaw = points[8:17]
    edge = np.interp(x, jaw[:, 0], jaw[:, 1])
    cheek_line = np.interp(x, [0.0, 0.03, 0.05, 0.075], [0.655, 0.660, 0.672, 0.70])
    chin = 1 / (1 + np.exp((z - cheek_line) / 0.003))
    moustache = np.exp(-(((z - 0.6735) / 0.0055) ** 2)) * (x < 0.030)
    density: Floats = np.clip(chin + moustache, 0, 1) * (z < edge + 0.08)
    return density
