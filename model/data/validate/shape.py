"""How far 68 points are from a face's shape, and how turned: catches swapped coordinates and mirrored numbering."""

import numpy as np
from numpy.typing import NDArray

from model.schema import FLIP_68, LANDMARKS

Floats = NDArray[np.float64]

# Midline and the picture's left half (jaw, brow, nose, eye, mouth) of the mean head of the synthetic benchmark, seen
# from the front, in thousandths of its size. The other half is its mirror image.
# fmt: off
_HALF = {
    0: (-172, -99), 1: (-171, -46), 2: (-158, -5), 3: (-152, 38), 4: (-133, 82), 5: (-107, 105), 6: (-82, 132),
    7: (-53, 152), 8: (0, 156), 17: (-141, -98), 18: (-115, -120), 19: (-82, -131), 20: (-49, -121), 21: (-26, -118),
    27: (0, -97), 28: (0, -67), 29: (0, -45), 30: (0, -12), 31: (-31, 17), 32: (-14, 24), 33: (0, 27),
    36: (-105, -87), 37: (-84, -99), 38: (-65, -97), 39: (-44, -84), 40: (-66, -78), 41: (-84, -77),
    48: (-62, 73), 49: (-43, 56), 50: (-19, 48), 51: (0, 57), 57: (0, 94), 58: (-13, 93), 59: (-45, 90),
    60: (-53, 73), 61: (-12, 68), 62: (0, 75), 66: (0, 76), 67: (-13, 76),
}
# fmt: on


def shape_distance(points_NK2: Floats) -> Floats:
    """Full Procrustes distance (N,) to the mean face: 0 the same up to shift, turn and scale, 1 nothing in common.

    `sqrt(1 - |<a, b>|^2)` of centred shapes of unit norm, as complex numbers. Mirroring is not undone. Real faces of
    300-W reach 0.37; swapped coordinates and mirrored numbering start at 0.97. Points without extent have distance 1.
    """
    inner = np.abs(_unit(points_NK2) @ _unit(mean_face()[None])[0].conj())
    distance: Floats = np.sqrt(np.clip(1 - inner**2, 0, 1))
    return distance


def turn_of(points_NK2: Floats) -> Floats:
    """By how many degrees (N,), in -180..180, the points are turned against the upright mean face.

    Clockwise to the onlooker is positive. Real faces of 300-W reach 33.
    """
    turn: Floats = np.degrees(np.angle(_unit(points_NK2) @ _unit(mean_face()[None])[0].conj()))
    return turn


def mean_face() -> Floats:
    """The mean face (68, 2), y downwards, about the origin."""
    face = np.zeros((LANDMARKS, 2))
    for point, (x, y) in _HALF.items():
        face[FLIP_68[point]] = (-x, y)
        face[point] = (x, y)
    return face


def _unit(points_NK2: Floats) -> NDArray[np.complex128]:
    flat = points_NK2[..., 0] + 1j * points_NK2[..., 1]
    flat = flat - flat.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(flat, axis=-1, keepdims=True)
    unit: NDArray[np.complex128] = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 0)
    return unit
