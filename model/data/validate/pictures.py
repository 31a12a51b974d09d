"""Decoding every picture once: does it open, is it still the indexed one, what does it look like."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from model.data.codec import decode_image
from model.data.validate.duplicates import Fingerprint, fingerprint
from model.data.validate.light import Light, light_of
from model.errors import ImageError, StorageError
from model.schema import FaceRecord
from model.storage import digest_bytes, read_bytes

_CHUNK = 256
_THREADS = 4


@dataclass(frozen=True)
class Look:
    """One picture: why it cannot be used, or its fingerprint and the light on each of its faces, by record id."""

    error: str | None = None
    print_: Fingerprint | None = None
    lights: Mapping[str, Light] = field(default_factory=dict)


def look_at(records: Iterable[FaceRecord], *, data: Path, max_pixels: int) -> Mapping[str, Look]:
    """A look at each picture of the records, by address; few are held in memory at a time."""
    faces: dict[str, list[FaceRecord]] = defaultdict(list)
    for record in records:
        faces[record.image].append(record)
    todo = list(faces.values())
    looks: dict[str, Look] = {}
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(total=len(todo), desc="validate", unit=" pictures", disable=None) as bar,
    ):
        for start in range(0, len(todo), _CHUNK):
            chunk = todo[start : start + _CHUNK]
            for group, look in zip(chunk, pool.map(lambda group: _look(group, data, max_pixels), chunk), strict=True):
                looks[group[0].image] = look
            bar.update(len(chunk))
    return looks


def _look(faces: list[FaceRecord], data: Path, max_pixels: int) -> Look:
    """A look at the picture that all these faces are in."""
    record = faces[0]
    try:
        content = read_bytes(record.image, data)
        if digest_bytes(content) != record.sha256:
            return Look("altered: other bytes than were indexed; run `rmtl index` again")
        pixels = decode_image(content, max_pixels=max_pixels)
    except ImageError as error:
        return Look(f"{error.code}: {error}")
    except StorageError as error:
        return Look(f"missing_picture: {error}")
    height, width = pixels.shape[:2]
    if (width, height) != (record.width, record.height):
        return Look(f"wrong_size: decodes to {width} x {height}, its header says {record.width} x {record.height}")
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return Look(print_=fingerprint(pixels), lights={face.record_id: light_of(grey, face.box) for face in faces})
