"""Names, sizes and records that every part of the generator shares."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Picture = NDArray[np.uint8]
Split = Literal["train", "val", "test"]
Subset = Literal["landmarks", "expressions", "both"]

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
    """All that identifies one face of the benchmark; everything else is drawn from its seed."""

    index: int
    split: Split
    subset: Subset
    subject: int
    expression: str
    iid: bool
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Face:
    """One finished face: the encoded picture and its line of the label table."""

    job: FaceJob
    webp: bytes
    record: dict[str, object]
