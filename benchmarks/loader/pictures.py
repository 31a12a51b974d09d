"""Made pictures in the generic layout: as files, as one tar with a label beside each picture, and as shards."""

import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.tars import add_member
from model.config import Config
from model.config.data import IndexConfig, Source, Splits
from model.data.index import MANIFEST_FILE, build_index
from model.data.shards import write_shards
from model.data.validate.shape import mean_face
from model.schema import EXPRESSIONS

CROPS = (128, 128)
PHOTOGRAPHS = (1152, 896)
_FACE_SHARE = 0.6
_QUALITY = 90
_COARSE = 24
_NOISE = 8


class Made(NamedTuple):
    """Where the pictures lie: JPEG files in order with their points, a tar for webdataset, the index, shards."""

    files: list[Path]
    points_NK2: list[list[list[float]]]
    tar: Path
    data: Path
    manifest: Path
    shards: Path


def make(config: Config, folder: Path, *, number: int, size: tuple[int, int]) -> Made:
    """Draw `number` pictures of (width, height) pixels with one face each, and write all three forms."""
    data = folder / "data"
    (data / "made").mkdir(parents=True)
    files, points, lines = [], [], []
    for index in range(number):
        generator = np.random.default_rng([index, *size])
        content, shape = _picture(generator, size), _points(generator, size)
        file = data / "made" / f"{index:06d}.jpg"
        file.write_bytes(content)
        label = {"image": file.name, "split": "train", "points": shape, "expression": EXPRESSIONS[index % 7]}
        lines.append(json.dumps(label))
        files.append(file)
        points.append(shape)
    (data / "made/labels.jsonl").write_text("\n".join(lines) + "\n")
    _write_tar(folder / "made.tar", files, points)
    source = Source(name="made", reader="generic", path="made", restricted=False, splits=Splits(train=("train",)))
    build_index(IndexConfig(sources=(source,), holdout=0.0, exclude=()), data=data, out=folder, seed=0)
    made = Made(files, points, folder / "made.tar", data, folder / MANIFEST_FILE, folder / "shards")
    write_shards(config.shard, manifest=made.manifest, data=data, out=made.shards)
    return made


def _picture(generator: np.random.Generator, size: tuple[int, int]) -> bytes:
    """Soft colours under fine grain: about the bytes of a photograph of that size."""
    coarse = generator.integers(40, 216, (_COARSE, _COARSE, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = generator.integers(-_NOISE, _NOISE + 1, smooth.shape, dtype=np.int16)
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())


def _points(generator: np.random.Generator, size: tuple[int, int]) -> list[list[float]]:
    side = _FACE_SHARE * min(size)
    shape = mean_face()
    shape = (shape - shape.min(axis=0)) / np.ptp(shape, axis=0).max() * side
    room = np.array(size) - side
    placed: list[list[float]] = (shape + room * generator.uniform(0.3, 0.7, 2)).tolist()
    return placed


def _write_tar(path: Path, files: list[Path], points: list[list[list[float]]]) -> None:
    with tarfile.open(path, "w") as archive:
        for file, shape in zip(files, points, strict=True):
            for suffix, content in ((".jpg", file.read_bytes()), (".json", json.dumps(shape).encode())):
                add_member(archive, file.stem + suffix, content)
