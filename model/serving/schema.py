"""What goes in and out of the endpoint: requests, answers, error codes, headers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from model.errors import FaceError
from model.schema import LANDMARKS, Box

ErrorCode = Literal[
    "not_an_image",
    "truncated_image",
    "image_too_large",
    "body_too_large",
    "bad_request",
    "unauthorized",
    "overloaded",
]

STATUS: Final[dict[str, int]] = {
    "not_an_image": 400,
    "truncated_image": 400,
    "bad_request": 400,
    "unauthorized": 401,
    "image_too_large": 413,
    "body_too_large": 413,
    "overloaded": 503,
}
"""HTTP status of each error code."""

VERSION_HEADER: Final = "X-Model-Version"
DIGEST_HEADER: Final = "X-Data-Digest"
BODY_TYPE_HEADER: Final = "X-Body-Type"
"""The client's Content-Type on its way through TorchServe, which would parse some types itself, and badly."""


SMALLEST_SIDE: Final = 1e-3
"""Pixels that the longer side of a box has at least; in far smaller ones arithmetic ends."""

MEASURES_HEADER: Final = "X-Measures"
"""What a worker tells the router about a request, see `model.serving.measures`; clients never see it."""


class RequestError(FaceError):
    """A request that cannot be answered.

    Attributes:
        code: one of `STATUS`; the endpoint answers with it.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Instance(_Message):
    """A picture in base64, and the tight boxes of its faces in pixels of the upright picture; null finds them."""

    image: str = Field(json_schema_extra={"contentEncoding": "base64"})
    boxes: list[Box] | None = None

    @field_validator("boxes")
    @classmethod
    def _have_extent(cls, boxes: list[Box] | None) -> list[Box] | None:
        return None if boxes is None else [check_box(box) for box in boxes]


class Request(_Message):
    """Body of a JSON request."""

    instances: list[Instance] = Field(min_length=1)


class Face(_Message):
    """One face: points in pixels of the upright picture, confidence 0 to 1, calibrated class probabilities."""

    box: Box
    landmarks: list[tuple[float, float]] = Field(min_length=LANDMARKS, max_length=LANDMARKS)
    confidence: list[float] = Field(min_length=LANDMARKS, max_length=LANDMARKS)
    expression: dict[str, float]


class Problem(_Message):
    """Why there is no answer."""

    code: ErrorCode
    message: str


class Refusal(_Message):
    """The answer to a request that cannot be answered; its code tells the status."""

    error: Problem


class Health(_Message):
    """The answer to a ping."""

    status: Literal["ready", "unavailable"]
    model: str


class Answer(_Message):
    """The answer to one picture."""

    faces: list[Face]
    model_version: str
    data_digest: str
    intended_use: str
    error: Problem | None


class Answers(Answer):
    """The answer to a multipart or JSON request with one picture: its fields, and the list of one."""

    predictions: list[Answer]


class AnswerList(_Message):
    """The answer to several pictures, in the order of the request; a bad one carries its error."""

    predictions: list[Answer]


@dataclass(frozen=True)
class Picture:
    """One picture of a request; `problem` says why its bytes are not there."""

    content: bytes
    boxes: list[Box] | None = None
    problem: str | None = None


class Origin(NamedTuple):
    """Where an answer comes from: version (or head of the weights' digest) and data digest; empty where not told."""

    version: str
    data_digest: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Origin":
        """As the body of an answer names it."""
        return cls(*(str(answer.get(name) or "") for name in ("model_version", "data_digest")))

    def __str__(self) -> str:
        return f"version {self.version or '?'}, data {self.data_digest or '?'}"


def check_box(box: Any) -> Box:
    """Four finite numbers x0 < x1, y0 < y1 in reasonable range, the longer side at least a thousandth of a pixel.

    Raises:
        ValueError: anything else, saying what is needed.
    """
    try:
        x0, y0, x1, y1 = (float(value) for value in box)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"box {box!r:.80}: need four numbers x0, y0, x1, y1") from error
    if not all(math.isfinite(value) and abs(value) < 1e6 for value in (x0, y0, x1, y1)) or x1 <= x0 or y1 <= y0:
        raise ValueError(f"box {box!r:.80}: need finite x0 < x1 and y0 < y1, in pixels of the upright picture")
    if max(x1 - x0, y1 - y0) < SMALLEST_SIDE:
        raise ValueError(f"box {box!r:.80}: both sides are below {SMALLEST_SIDE} pixels")
    return x0, y0, x1, y1


def problem(code: str, message: str) -> dict[str, Any]:
    """An error object as it stands in an answer."""
    return {"code": code, "message": message}
