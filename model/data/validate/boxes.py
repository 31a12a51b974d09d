"""How far two boxes are the same, where a table may hold anything for one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.data import codec
from model.schema import Box

Floats = NDArray[np.float64]

_SAME = 0.95
_OTHER = 0.85


def overlap(one: Sequence[float] | None, other: Sequence[float] | None) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0..1; NaN where one is no four finite numbers."""
    corners = [np.array(box if box is not None else (), dtype=np.float64) for box in (one, other)]
    if any(len(box) != 4 or not np.isfinite(box).all() for box in corners):
        return float("nan")
    first, second = ((x0, y0, x1, y1) for x0, y0, x1, y1 in (box.tolist() for box in corners))
    return codec.overlap(first, second)


def overlaps(boxes: Sequence[Sequence[float] | None], points_NK2: Floats) -> Floats:
    """Overlap (N,) of each box with the tight box of its finite points; NaN as for `overlap`."""
    given = np.full((len(boxes), 4), np.nan)
    for row, box in enumerate(boxes):
        if box is not None and len(box) == 4:
            given[row] = box
    given[~np.isfinite(given).all(axis=1)] = np.nan
    low, high = points_NK2.min(axis=1), points_NK2.max(axis=1)
    sides = np.minimum(given[:, 2:], high) - np.maximum(given[:, :2], low)
    shared = np.clip(sides, 0, None).prod(axis=1)
    union = (given[:, 2:] - given[:, :2]).prod(axis=1) + (high - low).prod(axis=1) - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=~(union <= 0))
    return ratio


def gives_size(box: Box, points_K2: Floats) -> bool:
    """Whether a box holds the corner and the size of its finite points' tight box, and not two corners.

    The two nearly agree where a face begins near the picture's origin, so that `overlap` alone can pass the one for the
    other. No point gives False.
    """
    if len(points_K2) == 0:
        return False
    (x0, y0), (x1, y1) = points_K2.min(axis=0).tolist(), points_K2.max(axis=0).tolist()
    as_size = codec.overlap(box, (x0, y0, x1 - x0, y1 - y0))
    return as_size > _SAME and codec.overlap(box, (x0, y0, x1, y1)) < _OTHER
