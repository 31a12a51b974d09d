"""How far two boxes are the same, where a table may hold anything for one."""

from collections.abc import Sequence

import numpy as np

from model.data import codec


def overlap(one: Sequence[float] | None, other: Sequence[float] | None) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0..1; NaN where one is no four finite numbers."""
    corners = [np.array(box if box is not None else (), dtype=np.float64) for box in (one, other)]
    if any(len(box) != 4 or not np.isfinite(box).all() for box in corners):
        return float("nan")
    first, second = ((x0, y0, x1, y1) for x0, y0, x1, y1 in (box.tolist() for box in corners))
    return codec.overlap(first, second)
