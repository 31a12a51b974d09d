"""What a worker saw of one request, for the router's metrics: sizes, counts and means; no picture and no point."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from model.data.codec import Pixels, box_area

SAMPLES = 64
"""Pixels a side that brightness is taken from."""


@dataclass
class Measures:
    """Numbers about one request.

    Attributes:
        batch: requests that the worker got together with this one.
        code: the error of the request as a whole; empty where it was answered.
        errors: code of each picture that could not be answered.
        brightness: mean of each picture, 0 to 1.
        sides: longer side of each picture in pixels.
        faces: number of faces in each picture that was answered.
        face_sides: square root of each face's area in pixels.
        confidence: mean over the points of each face.
        expressions: faces by most probable expression.
    """

    batch: int = 1
    code: str = ""
    errors: list[str] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)
    face_sides: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    expressions: dict[str, int] = field(default_factory=dict)

    def see(self, image_HWC: Pixels) -> None:
        """Note brightness and size of a picture."""
        height, width = image_HWC.shape[:2]
        step = max(1, min(height, width) // SAMPLES)
        self.brightness.append(round(float(image_HWC[::step, ::step].mean()) / 255, 3))
        self.sides.append(max(height, width))

    def note(self, answer: Mapping[str, Any]) -> None:
        """Note the answer to a picture, in the form of `Predictor.predict`."""
        if answer["error"]:
            self.errors.append(answer["error"]["code"])
            return
        self.faces.append(len(answer["faces"]))
        found = Counter(self.expressions)
        for face in answer["faces"]:
            self.face_sides.append(round(float(box_area(face["box"])) ** 0.5, 1))
            self.confidence.append(round(float(np.mean(face["confidence"])), 3))
            found[max(face["expression"], key=face["expression"].__getitem__)] += 1
        self.expressions = dict(found)

    def encode(self) -> str:
        """One line of ASCII, for a header between worker and router: some ten bytes a face."""
        return json.dumps(asdict(self), separators=(",", ":"))


def decode(text: str | None) -> Measures | None:
    """What a worker encoded; None where it told nothing, or in the form of another version of this package."""
    try:
        return Measures(**json.loads(text)) if text else None
    except (TypeError, ValueError):
        return None
