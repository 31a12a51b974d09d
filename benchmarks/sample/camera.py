"""Pinhole camera, picture windows, and the jaw points that follow the visible contour.

Picture coordinates are 0-based and (0, 0) is the centre of the first pixel.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.sample.headmesh import HeadMesh
from benchmarks.sample.schema import JAW, Floats, Ints, Pose

HEAD_CENTRE = np.asarray([0.0, -0.045, 0.715])
JAW_TURN = (10.0, 20.0)  # degrees of yaw over which jaw points leave the mesh for the contour


@dataclass(frozen=True)
class Window:
    """A square of the image plane: centre and half side, in units of focal length 1."""

    x: float
    y: float
    half: float


@dataclass(frozen=True)
class Camera:
    """Camera on the head's axis at `distance` metres, the head turned by `pose`."""

    pose: Pose
    distance: float

    @property
    def rotation(self) -> Floats:
        """Head to camera: camera x right, y down, z away from the viewer."""
        yaw, pitch, roll = np.radians([self.pose.yaw, self.pose.pitch, self.pose.roll])
        axes = np.asarray([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
        turn = np.asarray([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.asarray([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        tilt = np.asarray([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        turned: Floats = tilt @ nod @ turn @ axes
        return turned

    def to_camera(self, vertices: Floats) -> Floats:
        """Metres in the camera's frame (V, 3)."""
        turned: Floats = (vertices - HEAD_CENTRE) @ self.rotation.T
        placed: Floats = turned + np.asarray([0, 0, self.distance])
        return placed

    def project(self, vertices: Floats) -> Floats:
        """Image plane (V, 2)."""
        placed = self.to_camera(vertices)
        plane: Floats = placed[:, :2] / placed[:, 2:]
        return plane


def to_pixels(plane: Floats, window: Window, size: int) -> Floats:
    """Image plane (N, 2) to pixel coordinates of a square picture of `size`."""
    corner = np.asarray([window.x - window.half, window.y - window.half])
    pixels: Floats = (plane - corner) / (2 * window.half) * size - 0.5
    return pixels


def tight_box(points: Floats) -> tuple[float, float, float, float]:
    """Smallest upright box round the points: x0, y0, x1, y1."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def contour_edges(head: HeadMesh) -> Ints:
    """Mesh edges (E, 2) of cheeks, jaw and temples: the part of the skin that makes the face's outline.

    Ears, neck and scalp lie behind the jaw line and are left out, as are nose and lips, which would stand out
    of the cheek's outline on turned heads though no annotator follows them.
    """
    place = head.template
    jaw = place[head.landmarks[JAW]]
    order = np.argsort(jaw[:9, 2])
    behind = np.interp(place[:, 2], jaw[:9, 2][order], jaw[:9, 1][order]) + 0.002
    nose = (np.abs(place[:, 0]) < 0.030) & (place[:, 2] > 0.650)
    eyes = (np.abs(place[:, 0]) < 0.052) & (place[:, 2] > 0.700)
    lower, upper = jaw[:, 2].min() - 0.001, place[head.landmarks[17:27], 2].max() + 0.01
    kept = (place[:, 1] < behind) & (place[:, 2] > lower) & (place[:, 2] < upper) & ~nose & ~eyes
    skin = head.triangles[head.triangle_parts == 0]
    skin = skin[kept[skin].all(axis=1)]
    edges = np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]])
    unique: Ints = np.unique(np.sort(edges, axis=1), axis=0)
    return unique


def visible_points(plane: Floats, head: HeadMesh, edges: Ints, pose: Pose) -> Floats:
    """The 68 points on the image plane; far jaw points slide along their height to the visible contour."""
    points = plane[head.landmarks].copy()
    share = np.clip((abs(pose.yaw) - JAW_TURN[0]) / (JAW_TURN[1] - JAW_TURN[0]), 0, 1)
    if share == 0:
        return points
    roll = np.radians(pose.roll)
    across = np.asarray([np.cos(roll), np.sin(roll)])
    along = np.asarray([-np.sin(roll), np.cos(roll)])
    outward = np.sign(pose.yaw)  # a positive yaw hides the subject's left, the picture's right
    far = range(9, 17) if pose.yaw > 0 else range(8)
    side = head.template[:, 0] * outward > 0
    shown = edges[side[edges].all(axis=1)]
    lateral, height = outward * (plane @ across), plane @ along
    for i in far:
        reach = _reach(lateral[shown], height[shown], float(points[i] @ along))
        gap = reach - outward * float(points[i] @ across)
        points[i] += share * max(gap, 0.0) * outward * across
    return points


def _reach(lateral: Floats, height: Floats, level: float) -> float:
    """Furthest lateral place of the edges (E, 2) that cross `level`; minus infinity where none does."""
    low, high = height.min(axis=1), height.max(axis=1)
    crossing = (low <= level) & (high >= level) & (high > low)
    if not crossing.any():
        return -np.inf
    h, x = height[crossing], lateral[crossing]
    t = (level - h[:, 0]) / (h[:, 1] - h[:, 0])
    return float((x[:, 0] + t * (x[:, 1] - x[:, 0])).max())
