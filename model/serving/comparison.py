"""Two models on the same requests, in numbers: no picture and no point is kept."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from model.config import CanaryConfig
from model.data.codec import box_area, overlap

SAME_FACE_OVERLAP = 0.3

SideName = Literal["champion", "challenger"]


class Difference(NamedTuple):
    """How two answers to one request differ.

    Attributes:
        faces: number of faces, those that one side alone has included.
        disagreeing: those of them whose top expression differs, or that one side alone has.
        points: of each face that both have, the mean distance of its points over the square root of its box's area.
        refused: whether champion and challenger refuse a picture that the other one answers.
    """

    faces: int
    disagreeing: int
    points: list[float]
    refused: tuple[bool, bool]


class Breach(NamedTuple):
    """Which bound of `deploy.canary` was found exceeded, by which number."""

    bound: str
    found: float
    limit: float


@dataclass
class Side:
    """One model's requests. Seconds are those of its answers; `version` is what the last one named."""

    version: str = ""
    requests: int = 0
    errors: int = 0
    answers: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0

    def answered(self, version: str, seconds: float) -> None:
        """Count an answer."""
        self.requests += 1
        self.answers += 1
        self.version = version
        self.seconds += seconds
        self.slowest_s = max(self.slowest_s, seconds)

    def failed(self) -> None:
        """Count a request without an answer."""
        self.requests += 1
        self.errors += 1

    @property
    def error_rate(self) -> float:
        """Errors a request; 0 before the first one."""
        return self.errors / max(1, self.requests)

    def report(self) -> dict[str, Any]:
        """Plain values; version and milliseconds are null before the first answer."""
        return {
            "version": self.version or None,
            "requests": self.requests,
            "errors": self.errors,
            "error_rate": self.error_rate,
            "mean_ms": 1000 * self.seconds / self.answers if self.answers else None,
            "slowest_ms": 1000 * self.slowest_s if self.answers else None,
        }


@dataclass
class Tally:
    """Sums over the requests of a canary."""

    champion: Side = field(default_factory=Side)
    challenger: Side = field(default_factory=Side)
    compared: int = 0
    faces: int = 0
    disagreeing: int = 0
    pairs: int = 0
    point_sum: float = 0.0
    point_max: float = 0.0

    def side(self, name: SideName) -> Side:
        """That of this name."""
        return self.champion if name == "champion" else self.challenger

    def add(self, found: Difference) -> None:
        """Count one comparison."""
        self.compared += 1
        self.faces += found.faces
        self.disagreeing += found.disagreeing
        self.pairs += len(found.points)
        self.point_sum += sum(found.points)
        self.point_max = max(self.point_max, *found.points, 0.0)
        self.champion.errors += found.refused[0]
        self.challenger.errors += found.refused[1]

    @property
    def disagreement(self) -> float:
        """Share of faces; 0 before the first one."""
        return self.disagreeing / max(1, self.faces)

    @property
    def point_mean(self) -> float:
        """Mean over faces; 0 before the first one."""
        return self.point_sum / max(1, self.pairs)

    def breach(self, limits: CanaryConfig) -> Breach | None:
        """The first bound that is exceeded, of those with enough requests behind them."""
        rates = (
            ("max_error_rate", self.challenger.error_rate, limits.max_error_rate, self.challenger.requests),
            ("max_disagreement", self.disagreement, limits.max_disagreement, self.compared),
            ("max_point_difference", self.point_mean, limits.max_point_difference, self.compared),
        )
        for bound, found, limit, requests in rates:
            if requests >= limits.min_requests and found > limit:
                return Breach(bound, found, limit)
        return None

    def report(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "compared": self.compared,
            "faces": self.faces,
            "disagreement": self.disagreement,
            "point_difference": {"mean": self.point_mean, "max": self.point_max},
            "champion": self.champion.report(),
            "challenger": self.challenger.report(),
        }


def compare(champion: bytes, challenger: bytes) -> Difference:
    """How the challenger's answer differs from the champion's, both as the endpoint gives them.

    Raises:
        ValueError: one of them is no answer of the endpoint; the message quotes neither.
    """
    try:
        return _compare(_pictures(champion), _pictures(challenger))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer of the endpoint ({type(error).__name__})") from error


def _compare(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> Difference:
    if len(left) != len(right):
        first, second = (len(side) == 1 and _is_refused(side[0]) for side in (left, right))
        if first or second:
            return Difference(0, 0, [], (first, second))
    found = [_compare_faces(*pair) for pair in zip(left, right, strict=True) if not any(map(_is_refused, pair))]
    refusals = [(_is_refused(first), _is_refused(second)) for first, second in zip(left, right, strict=True)]
    return Difference(
        faces=sum(item.faces for item in found),
        disagreeing=sum(item.disagreeing for item in found),
        points=[value for item in found for value in item.points],
        refused=((True, False) in refusals, (False, True) in refusals),
    )


def _pictures(content: bytes) -> list[dict[str, Any]]:
    answer = json.loads(content)
    return list(answer.get("predictions") or [answer])


def _is_refused(answer: Mapping[str, Any]) -> bool:
    return answer["error"] is not None


def _compare_faces(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> Difference:
    pairs = list(_pairs(champion["faces"], challenger["faces"]))
    alone = len(champion["faces"]) + len(challenger["faces"]) - 2 * len(pairs)
    differing = sum(_top(left) != _top(right) for left, right in pairs)
    points = [_distance(left, right) for left, right in pairs]
    return Difference(len(pairs) + alone, differing + alone, points, (False, False))


def _pairs(
    champion: list[dict[str, Any]], challenger: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Faces of the same person: found boxes follow the points of each model, so neither box nor order is equal."""
    free = list(challenger)
    for left in champion:
        right = max(free, key=lambda face: overlap(left["box"], face["box"]), default=None)
        if right is not None and overlap(left["box"], right["box"]) >= SAME_FACE_OVERLAP:
            free.remove(right)
            yield left, right


def _top(face: Mapping[str, Any]) -> str:
    return str(max(face["expression"], key=face["expression"].__getitem__))


def _distance(left: Mapping[str, Any], right: Mapping[str, Any]) -> float:
    apart_K2 = np.asarray(left["landmarks"]) - np.asarray(right["landmarks"])
    return float(np.hypot(*apart_K2.T).mean() / box_area(left["box"]) ** 0.5)
