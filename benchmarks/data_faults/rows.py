"""Faults that one face shows by itself: a broken picture, points that are none, a label nobody knows."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data_faults.copies import Label
from model.schema import FLIP_68

Floats = NDArray[np.float64]
Needs = Literal["picture", "points", "expression"]

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class RowFault:
    """A fault of the fault list; `rules` are those that may find it, `late` breaks the picture after it was indexed.

    `picture` makes the bytes of the picture, `label` the label; either leaves its part as it is by default. What a
    fault needs, a face must have: points, or an expression and no points.
    """

    name: str
    test: str
    rules: tuple[str, ...]
    needs: Needs = "picture"
    picture: Callable[[bytes], bytes] | None = None
    label: Callable[[Label], Label] = lambda face: {}
    late: bool = False

    def fits(self, face: Label) -> bool:
        """Whether this face can have the fault."""
        match self.needs:
            case "points":
                return face["points"] is not None
            case "expression":
                return face["expression"] is not None and face["points"] is None
            case "picture":
                return True


def row_faults() -> list[RowFault]:
    """Every kind, in the order of the fault list."""
    return [*_pictures(), *_points(), *_boxes(), *_labels()]


def _pictures() -> list[RowFault]:
    read, decode = ("record_readable",), ("picture_decodes", "record_readable")
    return [
        RowFault("cut in half", "T01", decode, picture=lambda content: content[: len(content) // 2]),
        RowFault("last tenth missing", "T01", decode, picture=lambda content: content[: len(content) * 9 // 10]),
        RowFault("0 bytes", "T01", read, picture=lambda content: b""),
        RowFault("an error page", "T01", read, picture=lambda content: b"<html><body>404 Not Found</body></html>"),
        RowFault("wrong magic", "T01", read, picture=lambda content: bytes(12) + content[12:]),
        RowFault("1 x 1", "T01", ("min_side",), picture=_speck),
        RowFault("20,000 x 20,000 header bomb", "T01", read, picture=_bomb),
        RowFault("other bytes than were indexed", "T14", decode, picture=lambda content: content + b"\0", late=True),
    ]


def _points() -> list[RowFault]:
    far, order, turn = ("shape_plausible",), ("numbering_sound", "shape_plausible"), ("orientation_fits",)
    moves: list[tuple[str, tuple[str, ...], Callable[[Floats], Floats]]] = [
        ("67 points", ("points_count",), lambda points: points[:67]),
        ("21 points", ("points_count",), lambda points: points[:21]),
        ("a point outside", ("points_inside",), lambda points: points + _step(points, 30, 5.0)),
        ("x and y swapped", far, lambda points: points[:, ::-1]),
        ("y upwards", far, lambda points: points * (1, -1) + (0, 2 * points[:, 1].mean())),
        ("all in one place", far, lambda points: np.repeat(points[:1], 68, axis=0)),
        ("numbered from the other side", far, lambda points: points[FLIP_68]),
        ("brows numbered from the other side", order, partial(_mirrored, first=17, end=27)),
        ("eyes numbered from the other side", order, partial(_mirrored, first=36, end=48)),
        ("mouth numbered from the other side", order, partial(_mirrored, first=48, end=68)),
        ("numbered one too far", order, lambda points: np.roll(points, 1, axis=0)),
        ("turned by 90 degrees", turn, lambda points: _turned(points, (-1, 1))),
        ("turned by 180 degrees", turn, lambda points: 2 * points.mean(axis=0) - points),
    ]
    faults = [RowFault(name, "T02", rules, "points", label=partial(_moved, move=move)) for name, rules, move in moves]
    return [
        *faults,
        RowFault("NaN", "T02", ("points_finite",), "points", label=partial(_spoilt, value=np.nan)),
        RowFault("infinite", "T02", ("points_finite",), "points", label=partial(_spoilt, value=np.inf)),
        RowFault("a decimal comma", "T02", ("record_readable",), "points", label=partial(_spoilt, value="12,5")),
    ]


def _boxes() -> list[RowFault]:
    off = ("box_holds_points", "box_sane")
    changes: list[tuple[str, Callable[[Floats], Floats]]] = [
        ("corner and size", lambda box: np.array([*box[:2], *(box[2:] - box[:2])])),
        ("half a face aside", lambda box: box + (box[2] - box[0]) / 2 * np.array([1, 0, 1, 0])),
        ("of the picture at half size", lambda box: box / 2),
        ("half as large again", lambda box: box + np.array([-1, -1, 1, 1]) * (box[2] - box[0]) / 4),
        ("left, right, top, bottom", lambda box: box[[0, 2, 1, 3]]),
    ]
    return [
        RowFault(f"box: {name}", "T02", off, "points", label=partial(_boxed, change=change)) for name, change in changes
    ]


def _labels() -> list[RowFault]:
    read = ("record_readable",)
    return [
        RowFault("an unknown class", "T03", read, "expression", label=lambda face: {"expression": "smirk"}),
        RowFault("a number for a class", "T03", read, "expression", label=lambda face: {"expression": 11}),
        RowFault("an empty label", "T03", read, "expression", label=lambda face: {"expression": ""}),
        RowFault("contempt", "T03", ("labelled",), "expression", label=lambda face: {"expression": "contempt"}),
        RowFault("no label", "T03", ("labelled",), "expression", label=lambda face: {"expression": None}),
    ]


def _bomb(_: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">II5B", 20_000, 20_000, 8, 2, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


def _speck(_: bytes) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "PNG")
    return stream.getvalue()


def _moved(face: Label, *, move: Callable[[Floats], Floats]) -> Label:
    """New points without a box of their own, so that only they are wrong."""
    return {"points": move(np.array(face["points"], dtype=np.float64)).tolist(), "box": None}


def _spoilt(face: Label, *, value: Any) -> Label:
    points = [list(pair) for pair in face["points"]]
    points[30][0] = value
    return {"points": points}


def _boxed(face: Label, *, change: Callable[[Floats], Floats]) -> Label:
    points = np.array(face["points"], dtype=np.float64)
    return {"box": change(np.array([*points.min(axis=0), *points.max(axis=0)])).tolist()}


def _mirrored(points: Floats, *, first: int, end: int) -> Floats:
    order = np.arange(68)
    order[first:end] = FLIP_68[first:end]
    return points[order]


def _turned(points: Floats, signs: tuple[int, int]) -> Floats:
    centre = points.mean(axis=0)
    turned: Floats = (points - centre)[:, ::-1] * signs + centre
    return turned


def _step(points: Floats, row: int, sides: float) -> Floats:
    """One point moves by some sides of the face."""
    step = np.zeros_like(points)
    step[row, 0] = sides * np.ptp(points[:, 0])
    return step
