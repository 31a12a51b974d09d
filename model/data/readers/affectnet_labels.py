"""What both releases of AffectNet share: class numbers, and landmarks that a program has set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.readers.common import box_of, expression_fields, facts_text
from model.schema import LANDMARKS

NAMES = (
    "neutral",
    "happy",
    "sad",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
    "none",
    "uncertain",
    "no face",
)
"""AffectNet's numbers 0 to 10; the last four lie outside our seven."""


def class_name(number: str) -> str | None:
    """The name of a class number, written `3` or `3.0`; None where it is none of AffectNet's."""
    try:
        value = float(number)
    except ValueError:
        return None
    return NAMES[int(value)] if value in range(len(NAMES)) else None


def label_fields(name: str, arousal: float | None, valence: float | None) -> dict[str, Any]:
    """Columns `expression` and `facts`; -2, the mark of a face without valence and arousal, is left out."""
    values = {"arousal": arousal, "valence": valence}
    facts: dict[str, Any] = {key: value for key, value in values.items() if value is not None and abs(value) <= 1}
    fields = expression_fields(name)
    if "expression" not in fields:
        facts["label"] = name
    return {**fields, "facts": facts_text(facts)}


def automatic_box(coordinates: NDArray[np.float64]) -> list[float] | None:
    """Tight box of 68 automatic landmarks (136 numbers, x then y per point), None without them.

    The points themselves are a program's answer, not a human label, and never become points of a record.
    """
    if coordinates.size != 2 * LANDMARKS:
        return None
    box = box_of(coordinates.reshape(-1, 2))
    return box if box and box[0] < box[2] and box[1] < box[3] else None
