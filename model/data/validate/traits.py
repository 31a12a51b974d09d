"""What a face is like in a few numbers and names: the traits whose mix may drift from version to version."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.data.validate.pictures import Look
from model.schema import LANDMARKS, OUTER_EYE_CORNERS, FaceRecord

NUMBERS = ("brightness", "contrast", "sharpness", "face_size", "yaw", "pitch", "roll")
_PERSON = ("age", "gender", "race", "skin")
NAMES = ("expression", "landmarks", *_PERSON)
PART = "part"
GROUP = "group"

_NOSE_TIP = 30
_NOSE_DEPTH = 0.44
_NOSE_DROP = 0.55


def traits_of(records: list[FaceRecord], looks: Mapping[str, Look]) -> pd.DataFrame:
    """A row a face: `part` (`source/split`), `group`, `NUMBERS` (NaN where unknown) and `NAMES` (null where unknown).

    `face_size` is log2 of the longer side of the box in pixels. Angles are those of the facts, else rough estimates
    from the outer eye corners and the nose tip, in degrees.
    """
    rows = [_row(record, looks.get(record.image, Look())) for record in records]
    table = pd.DataFrame(rows, columns=[PART, GROUP, *NUMBERS, *NAMES])
    return table.astype({**dict.fromkeys(NUMBERS, float), **dict.fromkeys(NAMES, object)})


def values_of(rows: pd.DataFrame, trait: str) -> pd.Series:
    """What is known of a trait, once a person where it is the person's: more faces of one person tell no more."""
    known = rows[rows[trait].notna()]
    if trait in _PERSON:
        known = known[known[GROUP].isna() | ~known[GROUP].duplicated()]
    return known[trait]


def _row(record: FaceRecord, look: Look) -> dict[str, object]:
    facts = json.loads(record.facts or "{}")
    light = look.lights.get(record.record_id)
    return {
        PART: f"{record.source}/{record.split}",
        GROUP: record.group,
        **(light._asdict() if light is not None else {}),
        "face_size": _size(record.box),
        **_pose(record, facts),
        "expression": record.expression or "none",
        "landmarks": "68" if record.points else "19" if record.points19 else "none",
        **{name: str(facts[name]) for name in _PERSON if facts.get(name) is not None},
    }


def _size(box: list[float] | None) -> float:
    if box is None or len(box) != 4:
        return float("nan")
    x0, y0, x1, y1 = box
    return float(np.log2(max(x1 - x0, y1 - y0, 1.0)))


def _pose(record: FaceRecord, facts: Mapping[str, Any]) -> dict[str, float]:
    told = {name: facts.get(name) for name in ("yaw", "pitch", "roll")}
    numbers = {name: float(value) for name, value in told.items() if isinstance(value, int | float)}
    if len(record.points or ()) != 2 * LANDMARKS:
        return numbers
    return _estimate(np.reshape(record.points or [], (LANDMARKS, 2))) | numbers


def _estimate(points_K2: NDArray[np.float64]) -> dict[str, float]:
    """The nose tip, an average nose deep, before the line of the eyes: along it for yaw, below it for pitch."""
    right, left = (points_K2[corner] for corner in OUTER_EYE_CORNERS)
    x, y = left - right
    square = float(x * x + y * y)
    if square <= 0:
        return {}
    dx, dy = points_K2[_NOSE_TIP] - (left + right) / 2
    along, below = (dx * x + dy * y) / square, (dy * x - dx * y) / square
    return {
        "yaw": float(np.degrees(np.arctan(along / _NOSE_DEPTH))),
        "pitch": float(np.degrees(np.arctan((below - _NOSE_DROP) / _NOSE_DEPTH))),
        "roll": float(np.degrees(np.arctan2(y, x))),
    }
