"""How far two boxes are the same."""

from collections.abc import Sequence

import numpy as np


def overlap(one: Sequence[float] | None, other: Sequence[float] | None) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0..1; NaN where one is no four finite numbers."""
    corners = [np.array(box if box is not None else (), dtype=np.float64) for box in (one, other)]
    if any(len(box) != 4 or not np.isfinite(box).all() for box in corners):
        return float("nan")
    first, second = (np.reshape(box, (2, 2)) for box in corners)
    shared = np.clip(np.minimum(first[1], second[1]) - np.maximum(first[0], second[0]), 0, None).prod()
    union = (first[1] - first[0]).prod() + (second[1] - second[0]).prod() - shared
    return float(shared / union) if union > 0 else 0.0
