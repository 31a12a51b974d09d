"""Small made sets of pictures for the tests of shards and loader."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from PIL import Image

from model.data.codec import tight_box
from model.data.manifest import write_manifest
from model.schema import EXPRESSIONS, FaceRecord
from model.storage import digest_bytes


class MadeSet(NamedTuple):
    """A manifest and the folder of its pictures."""

    manifest: Path
    data: Path
    records: list[FaceRecord]


def blob(side: int, seed: int) -> bytes:
    """A square picture of soft spots, as lossless WebP."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)).save(
        buffer, "WEBP", lossless=True, quality=0
    )
    return buffer.getvalue()


def labels(kind: str, side: int, number: int) -> dict[str, Any]:
    """Label columns of a face: `points`, `points19`, `class`, or `both` points and class."""
    generator = np.random.default_rng(1000 + number)
    columns: dict[str, Any] = {"box": [0.0, 0.0, float(side), float(side)]}
    if kind in ("points", "both"):
        points = generator.uniform(0.3 * side, 0.7 * side, (68, 2))
        columns |= {"points": points.ravel().tolist(), "points_mask": [True] * 68, "box": list(tight_box(points))}
    if kind == "points19":
        points = generator.uniform(0.3 * side, 0.7 * side, (19, 2))
        mask = [number % 2 == 0 or point > 4 for point in range(19)]
        columns |= {"points19": points.ravel().tolist(), "points19_mask": mask, "box": list(tight_box(points))}
    if kind in ("class", "both"):
        columns["expression"] = EXPRESSIONS[number % 7]
    return columns


@pytest.fixture
def made_set(tmp_path: Path) -> Callable[..., MadeSet]:
    """`made_set((split, source, kind, side), ...)` writes a picture and a manifest row each."""

    def make(faces: Sequence[tuple[str, str, str, int]], **extra: Any) -> MadeSet:
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        records = []
        for number, (split, source, kind, side) in enumerate(faces):
            content = blob(side, number)
            (data / f"{number}.webp").write_bytes(content)
            record = FaceRecord(
                record_id=f"{source}/{number}",
                source=source,
                split=split,
                subset="all",
                image=f"{number}.webp",
                sha256=digest_bytes(content),
                width=side,
                height=side,
                **labels(kind, side, number),
                **extra,
            )
            records.append(record)
        write_manifest(tmp_path / "manifest.parquet", records)
        return MadeSet(tmp_path / "manifest.parquet", data, records)

    return make
