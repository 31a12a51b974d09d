"""Named parts of an evaluation set: by source, subset, class, pose, size, and what the facts tell of the person."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from model.config import EvaluateConfig
from model.schema import EXPRESSIONS, OUTER_EYE_CORNERS, FaceRecord

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ALL = "all"
# Facts with a few values each; a number for the age is binned in the groups of RAF-DB.
_CATEGORIES = ("gender", "race", "skin", "light", "occluder")
_AGE_EDGES = (4, 20, 40, 70)
_NOSE_TIP = 30
# How far the nose tip stands before the line of the outer eye corners, over their distance: an average head seen from
# a metre. Level heads are estimated within 1 degree up to 45; one that nods by 15 degrees too low by up to 18.
_NOSE_DEPTH = 0.44


def slice_masks(
    records: Sequence[FaceRecord], truth_NK2: Array, box_N4: Array, config: EvaluateConfig
) -> dict[str, Mask]:
    """Faces of each slice by name, in a fixed order; `all` comes first, and no slice is empty.

    Args:
        truth_NK2: true 68 points in picture coordinates, NaN where unknown; the pose is estimated from them where the
            facts tell no `yaw`, and a face with neither is in no pose slice.
        box_N4: boxes in picture coordinates.
    """
    facts = [read_facts(record) for record in records]
    yaw_N = np.array([_number(fact.get("yaw")) for fact in facts], dtype=float)
    yaw_N = np.abs(np.where(np.isnan(yaw_N), estimate_yaw(truth_NK2), yaw_N))
    side_N = (box_N4[:, 2:] - box_N4[:, :2]).max(axis=1, initial=0.0)
    masks = {ALL: np.ones(len(records), bool)}
    masks |= _by_value("source", [record.source for record in records])
    masks |= _by_value("subset", [record.subset or None for record in records])
    labels = [record.expression for record in records]
    masks |= {f"class={name}": np.array([label == name for label in labels]) for name in EXPRESSIONS if name in labels}
    masks |= _by_bin("pose", "|yaw|", yaw_N, config.yaw_bins)
    masks |= _by_bin("size", "side", side_N, config.size_bins)
    masks |= _by_value("age", [_age_group(fact.get("age")) for fact in facts])
    for name in _CATEGORIES:
        masks |= _by_value(name, [None if fact.get(name) is None else str(fact[name]) for fact in facts])
    return masks


def read_facts(record: FaceRecord) -> Mapping[str, Any]:
    """What the benchmark tells beside the labels; empty where it tells nothing readable."""
    try:
        facts = json.loads(record.facts or "{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def estimate_yaw(truth_NK2: Array) -> Array:
    """Angle of the head about its upright axis in degrees, roughly, positive towards the picture's right.

    The outer eye corners lie at +-a, the nose tip h before their middle. Turned by t and seen from afar, the nose
    leaves the middle by h sin t along the line of the eyes, whose length becomes 2 a cos t: t = atan(offset / length
    / (h / 2a)). Roll and scale cancel out. NaN where a point is unknown or the corners coincide.
    """
    right_N2, left_N2 = (truth_NK2[:, corner] for corner in OUTER_EYE_CORNERS)
    axis_N2 = left_N2 - right_N2
    square_N = (axis_N2**2).sum(axis=1)
    offset_N2 = truth_NK2[:, _NOSE_TIP] - (left_N2 + right_N2) / 2
    share_N = (offset_N2 * axis_N2).sum(axis=1) / np.where(square_N > 0, square_N, np.nan)
    return np.asarray(np.degrees(np.arctan(share_N / _NOSE_DEPTH)))


def _by_value(name: str, values: Sequence[str | None]) -> dict[str, Mask]:
    known = sorted({value for value in values if value is not None}, key=_natural)
    return {f"{name}={value}": np.array([given == value for given in values]) for value in known}


def _by_bin(name: str, symbol: str, values_N: Array, edges: Sequence[float]) -> dict[str, Mask]:
    """Slices (low, high] between the edges; a NaN is in none."""
    masks = {}
    bounds = [-np.inf, *edges, np.inf]
    for low, high in pairwise(bounds):
        below = "" if high == np.inf else f"<={high:g}"
        above = "" if low == -np.inf else f"{low:g}<"
        label = f"{symbol}>{low:g}" if above and not below else f"{above}{symbol}{below}"
        masks[f"{name}={label}"] = (values_N > low) & (values_N <= high)
    return _not_empty(masks.items())


def _not_empty(items: Iterable[tuple[str, Mask]]) -> dict[str, Mask]:
    return {name: mask for name, mask in items if mask.any()}


def _natural(value: str) -> list[tuple[float, str]]:
    """Sorts `4-19` before `20-39`, and both before words."""
    return [(float(digits or "inf"), text) for text, digits in re.findall(r"(\D*)(\d*)", value)]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _age_group(age: Any) -> str | None:
    years = _number(age)
    if np.isnan(years):
        return None if age is None else str(age)
    bounds = [0, *_AGE_EDGES]
    place = int(np.searchsorted(_AGE_EDGES, years, side="right"))
    return f"{bounds[-1]}+" if place == len(_AGE_EDGES) else f"{bounds[place]}-{bounds[place + 1] - 1}"
