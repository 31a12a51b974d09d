"""Landmark errors as fractions of a normaliser: N faces, K points.

A face without a scored point, or with a normaliser of zero, has no error: NaN, which every summary leaves out. A
scored point whose prediction is not finite makes the error infinite, so that it counts as a failure.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from model.schema import OUTER_EYE_CORNERS, REGIONS

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Normaliser = Literal["inter_ocular", "inter_pupil", "box_diagonal", "box_side"]


def normaliser_lengths(kind: Normaliser, truth_NK2: Array, box_N4: Array | None = None) -> Array:
    """Length by which the errors of each face are divided, in the unit of the points; NaN where it is unknown or zero.

    `inter_ocular`: outer eye corners, points 36 and 45. `inter_pupil`: means of the eyes' points, 36..41 and 42..47.
    `box_diagonal`, and `box_side` (for AFLW's square boxes the side, else sqrt(width x height)): of `box_N4`.

    Raises:
        ValueError: `box_N4` is missing for a box normaliser, or the points are not the 68 for an eye normaliser.
    """
    if kind in ("box_diagonal", "box_side"):
        if box_N4 is None:
            raise ValueError(f"normaliser {kind} needs the boxes of the faces")
        sides_N2 = np.asarray(box_N4, float)[:, 2:] - np.asarray(box_N4, float)[:, :2]
        lengths = np.linalg.norm(sides_N2, axis=1) if kind == "box_diagonal" else np.sqrt(np.abs(sides_N2.prod(axis=1)))
    else:
        if truth_NK2.shape[1] <= OUTER_EYE_CORNERS[1]:
            raise ValueError(f"normaliser {kind} needs 68 points, found {truth_NK2.shape[1]}")
        if kind == "inter_ocular":
            right_N2, left_N2 = truth_NK2[:, OUTER_EYE_CORNERS[0]], truth_NK2[:, OUTER_EYE_CORNERS[1]]
        else:
            right_N2, left_N2 = (truth_NK2[:, REGIONS[eye]].mean(axis=1) for eye in ("right_eye", "left_eye"))
        lengths = np.linalg.norm(left_N2 - right_N2, axis=1)
    return np.where(np.isfinite(lengths) & (lengths > 0), lengths, np.nan)


def nme(predicted_NK2: Array, truth_NK2: Array, lengths_N: Array, mask_NK: Mask | None = None) -> Array:
    """Normalised mean error of each face: mean over its points of the distance to truth / length. A fraction.

    Args:
        lengths_N: from `normaliser_lengths`.
        mask_NK: points that count; all where None. A point without finite truth never counts.

    Returns:
        N errors, NaN for a face that cannot be scored.
    """
    scored_NK: Mask = np.asarray(np.isfinite(truth_NK2).all(axis=2))
    if mask_NK is not None:
        scored_NK = scored_NK & mask_NK
    with np.errstate(invalid="ignore", over="ignore"):
        distance_NK = np.linalg.norm(predicted_NK2 - np.where(scored_NK[..., None], truth_NK2, 0.0), axis=2)
    distance_NK = np.where(np.isfinite(distance_NK), distance_NK, np.inf)
    number_N = scored_NK.sum(axis=1)
    total_N = np.where(scored_NK, distance_NK, 0.0).sum(axis=1)
    usable_N = (number_N > 0) & np.isfinite(lengths_N) & (lengths_N > 0)
    return np.where(usable_N, total_N / np.maximum(number_N, 1) / np.where(usable_N, lengths_N, 1.0), np.nan)


def mean_nme(errors_N: Array) -> float:
    """Mean over the faces that can be scored; NaN for none."""
    errors = _scored(errors_N)
    return float(errors.mean()) if errors.size else float("nan")


def failure_rate(errors_N: Array, threshold: float) -> float:
    """Share of faces with an error above `threshold` (FR@threshold), 0 to 1; NaN for no face."""
    errors = _scored(errors_N)
    return float((errors > threshold).mean()) if errors.size else float("nan")


def area_under_ced(errors_N: Array, threshold: float) -> float:
    """Area under the cumulative error curve from 0 to `threshold`, divided by `threshold`; 0 to 1, NaN for no face.

    Each face contributes a step that starts at its error e, so the area is exactly mean(max(0, 1 - e / threshold)).
    """
    errors = _scored(errors_N)
    return float(headroom(errors, threshold).mean()) if errors.size else float("nan")


def headroom(errors_N: Array, threshold: float) -> Array:
    """What each face adds to the area under the cumulative curve: max(0, 1 - error / threshold)."""
    return np.asarray(np.maximum(0.0, 1.0 - errors_N / threshold))


def cumulative_errors(errors_N: Array) -> tuple[Array, Array]:
    """The cumulative error distribution: sorted distinct errors, and the share of faces at or below each.

    Both are empty for no face.
    """
    errors = _scored(errors_N)
    values, counts = np.unique(errors, return_counts=True)
    return values, np.cumsum(counts) / max(errors.size, 1)


def _scored(errors_N: Array) -> Array:
    errors: Array = np.asarray(errors_N, float)
    return np.asarray(errors[~np.isnan(errors)])
