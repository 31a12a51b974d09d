"""Made conventions: what they change is known exactly."""

from typing import Literal

import numpy as np

from model.convention import Convention


def rolled(places: int, *, bias: float = 0.0, speaks: Literal["labels", "votes"] = "labels") -> Convention:
    """Each class's probability goes to the class so many places on; `bias` favours the first class."""
    weight = np.roll(np.eye(7), places, axis=0).tolist()
    return Convention(speaks=speaks, weight=weight, bias=(bias, *[0.0] * 6))


IDENTITY = rolled(0)
