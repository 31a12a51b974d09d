"""What identifies drawn pictures on every machine: their mean brightness.

Graphics drivers and vector units of different processors round differently, so that the same face is drawn with other
bytes; its mean brightness then differs by less than one grey level.
"""

import tarfile
from pathlib import Path

import numpy as np

from benchmarks.method.packing import Ints, pack_classes, unpack_classes
from model.data.codec import decode_image

_TOLERANCE = 1
_MAX_PIXELS = 1 << 20


def pack_brightness(tar: Path) -> str:
    """Mean brightness of each picture, in the order of the tar, as text."""
    return pack_classes(_brightness(tar))


def is_drawn_alike(tar: Path, packed: str) -> bool:
    """Whether the tar has as many pictures as were packed, each within one grey level of its own."""
    found_N, frozen_N = _brightness(tar), unpack_classes(packed)
    return len(found_N) == len(frozen_N) and bool((np.abs(found_N - frozen_N) <= _TOLERANCE).all())


def _brightness(tar: Path) -> Ints:
    with tarfile.open(tar, "r:") as archive:
        contents = [stream.read() for member in archive if (stream := archive.extractfile(member)) is not None]
    return np.array(
        [round(float(decode_image(content, max_pixels=_MAX_PIXELS).mean())) for content in contents], dtype=np.int64
    )
