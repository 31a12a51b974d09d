"""Names, sizes and records that every part of the generator shares."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Ints = NDArray[Any]
Picture = NDArray[np.uint8]
Split = Literal["train", "val", "test"]
Subset = Literal["landmarks", "expressions", "both"]
Style = Literal["portrait", "crop", "mixed"]

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
POINTS = 68
JAW = slice(0, 17)


@dataclass(frozen=True)
class Pose:
    """Head rotation in degrees: positive yaw turns the nose to the picture's right, pitch down, roll clockwise."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class FaceJob:
    """One face of the benchmark before it is drawn; what is not said here comes from its own generator.

    `label` is what the table will say and may differ from `shown`, the expression that is drawn, or be absent.
    """

    index: int
    split: Split
    subset: Subset
    subject: int
    shown: str
    label: str | None
    style: Style

    @property
    def has_points(self) -> bool:
        """Whether the table gives the 68 points."""
        return self.subset != "expressions"


@dataclass(frozen=True)
class Face:
    """One finished face: the encoded picture and its line of the label table."""

    member: str
    webp: bytes
    record: dict[str, object]
