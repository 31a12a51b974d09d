"""A made set of any number of faces in the generic layout, with copies across its splits planted in it."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.tars import add_member
from model.config.data import Source, Splits
from model.data.readers.generic import LABELS_FILE
from model.data.validate.shape import mean_face
from model.schema import EXPRESSIONS, LANDMARKS

Pixels = NDArray[np.uint8]

NAME = "made"
SOURCE = Source(
    name=NAME,
    reader="generic",
    path=NAME,
    restricted=False,
    splits=Splits(train=("train",), val=("val",), test=("test",)),
)
SIDE = 80
"""Width and height of a picture, in pixels."""

KINDS = ("same bytes", "JPEG at 50", "mirrored")
"""How a planted copy differs from the face of validation or test it was made from."""

_QUALITY = 90
_PACK = 5_000
_COARSE = 8
_FACE = mean_face() / np.ptp(mean_face(), axis=0).max() * SIDE * 0.6 + SIDE / 2
_OF_TEN = ("train",) * 8 + ("val", "test")


@dataclass
class Planted:
    """Record ids of the planted copies by kind; they are faces of training, as `faces` counts them too."""

    faces: int
    copies: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


@dataclass(frozen=True)
class _Face:
    split: str
    picture: bytes
    kind: str | None = None


def make_set(data: Path, faces: int, *, copies: float, seed: int) -> Planted:
    """Write `faces` faces below `data`, a share `copies` of them copies; eight of ten are training.

    Pictures are tar members, fields of low frequency on one common ground, so that their hashes crowd as those of
    faces do. Every face has 68 points and an expression, and is a person of its own.
    """
    planted = Planted(faces)
    folder = data / NAME
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    stream = _faces(faces, round(copies * faces), seed)
    with (folder / LABELS_FILE).open("w") as labels:
        for number in range(0, faces, _PACK):
            pack = f"{number // _PACK:03}.tar"
            with tarfile.open(folder / pack, "w") as archive:
                for position, face in enumerate(islice(stream, _PACK), start=number):
                    name = f"{position:07}.jpg"
                    add_member(archive, name, face.picture)
                    labels.write(_label(f"{pack}!{name}", position, face.split, rng))
                    if face.kind:
                        planted.copies[face.kind].append(f"{NAME}/{pack}!{name}")
    return planted


def _faces(faces: int, copies: int, seed: int) -> Iterator[_Face]:
    """The faces of their own, then copies of those of validation and test, kind after kind."""
    own = faces - copies
    held = [number for number in range(own) if _OF_TEN[number % 10] != "train"]
    chosen = np.random.default_rng([seed, own]).choice(held, copies, replace=False)
    ground = _field(np.random.default_rng(seed))
    for number in range(own):
        yield _Face(_OF_TEN[number % 10], _jpeg(_picture(number, seed, ground)))
    for position, number in enumerate(chosen):
        kind = KINDS[position % len(KINDS)]
        yield _Face("train", _copy(_picture(int(number), seed, ground), kind), kind)


def _picture(number: int, seed: int, ground: Pixels) -> Pixels:
    mixed = cv2.addWeighted(ground, 0.5, _field(np.random.default_rng([seed, number])), 0.5, 0)
    return np.asarray(cv2.resize(mixed, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _field(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (_COARSE, _COARSE, 3), dtype=np.uint8)


def _copy(image_HWC: Pixels, kind: str) -> bytes:
    if kind == "same bytes":
        return _jpeg(image_HWC)
    return _jpeg(image_HWC[:, ::-1]) if kind == "mirrored" else _jpeg(image_HWC, 50)


def _jpeg(image_HWC: Pixels, quality: int = _QUALITY) -> bytes:
    _, content = cv2.imencode(".jpg", image_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


def _label(image: str, number: int, split: str, rng: np.random.Generator) -> str:
    points = np.round(_FACE + rng.normal(0, SIDE / 200, (LANDMARKS, 2)), 2)
    label = {"image": image, "split": split, "points": points.tolist(), "subject": number}
    return json.dumps({**label, "expression": EXPRESSIONS[number // 10 % len(EXPRESSIONS)]}) + "\n"
