"""Decoding every picture once: does it open, is it still the indexed one, what does it look like."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from model.data.codec import decode_image
from model.data.validate.duplicates import Fingerprint, fingerprint
from model.errors import ImageError, StorageError
from model.schema import FaceRecord
from model.storage import digest_bytes, read_bytes

_CHUNK = 256
_THREADS = 4


@dataclass(frozen=True)
class Look:
    """One picture: why it cannot be used, or its fingerprint."""

    error: str | None = None
    print_: Fingerprint | None = None


def look_at(records: Iterable[FaceRecord], *, data: Path, max_pixels: int) -> Mapping[str, Look]:
    """A look at each picture of the records, by address; few are held in memory at a time."""
    todo = list({record.image: record for record in records}.values())
    looks: dict[str, Look] = {}
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(total=len(todo), desc="validate", unit=" pictures", disable=None) as bar,
    ):
        for start in range(0, len(todo), _CHUNK):
            chunk = todo[start : start + _CHUNK]
            for record, look in zip(chunk, pool.map(lambda item: _look(item, data, max_pixels), chunk), strict=True):
                looks[record.image] = look
            bar.update(len(chunk))
    return looks


def _look(record: FaceRecord, data: Path, max_pixels: int) -> Look:
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
    return Look(print_=fingerprint(pixels))
