"""Is a part of the face numbered from the wrong side, or are all points numbered from one too far?

A wrong order of few points hardly moves the whole shape, so the distance to the mean face alone does not tell it; but
undoing it brings the points nearer, which sound points never are by another order.
"""

import numpy as np
from numpy.typing import NDArray

from model.data.validate.shape import shape_distance
from model.schema import FLIP_68, LANDMARKS, REGIONS

Floats = NDArray[np.float64]
Order = NDArray[np.int64]

_PARTS = {
    "the jaw is": ("jaw",),
    "the brows are": ("right_brow", "left_brow"),
    "the eyes are": ("right_eye", "left_eye"),
    "the mouth is": ("mouth",),
}


def numbering_gain(points_NK2: Floats) -> tuple[Floats, list[str]]:
    """How much nearer (N,) to the mean face the best other numbering brings the points, and what that says of them.

    Distances are those of `shape_distance`; negative where the given numbering fits best. The nose's five lower points
    lie too close together for their order to show.
    """
    orders = _orders()
    given = shape_distance(points_NK2)
    gains = np.stack([given - shape_distance(points_NK2[:, order]) for order in orders.values()])
    names = list(orders)
    return gains.max(axis=0), [names[best] for best in gains.argmax(axis=0)]


def _orders() -> dict[str, Order]:
    """The orders that undo each fault, by what the fault is."""
    every = np.arange(LANDMARKS)
    orders = {f"{part} numbered from the other side": _mirrored(regions) for part, regions in _PARTS.items()}
    return orders | {
        "each point has the number of the one after": np.roll(every, -1),
        "each point has the number of the one before": np.roll(every, 1),
    }


def _mirrored(regions: tuple[str, ...]) -> Order:
    order = np.arange(LANDMARKS)
    for region in regions:
        order[REGIONS[region]] = FLIP_68[REGIONS[region]]
    return order
