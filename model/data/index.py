"""Step `index`: benchmarks in their official layouts become one manifest.

Every picture is read once, for its digest and its size; decoding is left to validation.
"""

import io
import logging
import struct
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from model.config.data import IndexConfig
from model.data.codec import FORMATS
from model.data.manifest import has_label, part_of, write_manifest
from model.data.readers import read_source
from model.data.readers.common import problem
from model.data.readers.official import official_numbers
from model.data.split import hold_out
from model.errors import StorageError
from model.schema import SPLITS, FaceRecord
from model.storage import digest_bytes, read_bytes

MANIFEST_FILE = "manifest.parquet"

_CHUNK = 256
_THREADS = 8
_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
_LARGEST_WEBP = 50_000_000

log = logging.getLogger(__name__)


def build_index(config: IndexConfig, *, data: Path, out: Path, seed: int) -> dict[str, int]:
    """Write `out/manifest.parquet` with a row for each face of every source.

    Faces without points whose benchmark gives no box are face crops: their box is the whole picture, from -0.5 to
    side - 0.5.

    Returns:
        Numbers of rows: one a split, `problems` and `excluded`.

    Raises:
        DataContractError: the layout of a source cannot be understood.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        records = [face for source in config.sources for face in _opened(read_source(source, data), data, pool)]
    kept = _without(records, config.exclude)
    about = _about(config, records, kept)
    cut = [source.name for source in config.sources if not source.splits.val]
    kept = hold_out(kept, sources=cut, share=config.holdout, seed=seed)
    write_manifest(out / MANIFEST_FILE, kept, about)
    splits = Counter(record.split for record in kept)
    counts = {split: splits[split] for split in SPLITS}
    counts["problems"] = sum(record.problem is not None for record in kept)
    counts["excluded"] = len(records) - len(kept)
    log.info("indexed %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return counts


def read_size(content: bytes) -> tuple[int, int]:
    """Width and height of the upright picture, from its header alone.

    Raises:
        OSError, ValueError, SyntaxError, struct.error: no picture, or a damaged header.
        PIL.Image.DecompressionBombError: more pixels than Pillow opens.
    """
    _refuse_webp_bomb(content)
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        # getexif() would decode a PNG in search of a late chunk.
        turned = "exif" in image.info and image.getexif().get(_EXIF_ORIENTATION) in _TURNED
    return (height, width) if turned else (width, height)


def _refuse_webp_bomb(content: bytes) -> None:
    """Pillow allocates the canvas of a WebP while it opens it, so the largest ones are told by their header here."""
    match content[8:16]:
        case b"WEBPVP8X":
            sides = [1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27)]
        case b"WEBPVP8 ":
            sides = [side & 0x3FFF for side in struct.unpack_from("<HH", content, 26)]
        case b"WEBPVP8L":
            bits = int.from_bytes(content[21:25], "little")
            sides = [1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)]
        case _:
            return
    if sides[0] * sides[1] > _LARGEST_WEBP:
        raise Image.DecompressionBombError(f"WebP of {sides[0]} x {sides[1]} pixels")


def _opened(records: Iterator[FaceRecord], data: Path, pool: ThreadPoolExecutor) -> Iterator[FaceRecord]:
    """Records with digest, size and box; few pictures are held in memory at a time."""
    with tqdm(desc="index", unit=" faces", disable=None) as progress:
        while chunk := list(islice(records, _CHUNK)):
            yield from pool.map(lambda record: _open(record, data), chunk)
            progress.update(len(chunk))


def _open(record: FaceRecord, data: Path) -> FaceRecord:
    if record.problem is not None:
        return record
    try:
        content = read_bytes(record.image, data)
    except StorageError as error:
        return replace(record, problem=problem("missing_picture", record.image, str(error.__cause__ or error)))
    record = replace(record, sha256=digest_bytes(content))
    try:
        width, height = read_size(content)
    except Image.DecompressionBombError as error:
        return replace(record, problem=problem("image_too_large", record.image, str(error)))
    except UnidentifiedImageError:
        # Its message has the address of the object in memory, other on each run.
        what = f"{len(content)} bytes that are no picture of {', '.join(FORMATS)}"
        return replace(record, problem=problem("not_an_image", record.image, what))
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        what = f"{len(content)} bytes that are no picture: {error}"
        return replace(record, problem=problem("not_an_image", record.image, what))
    box = record.box
    if box is None and record.points is None:
        box = [-0.5, -0.5, width - 0.5, height - 0.5]
    return replace(record, width=width, height=height, box=box)


def _about(config: IndexConfig, records: list[FaceRecord], kept: list[FaceRecord]) -> dict[str, Any]:
    """By `source/subset`: what the benchmarks have, and how many labelled faces `exclude` took out."""
    numbers = official_numbers(config.sources)
    before, after = (Counter(part_of(record) for record in rows if has_label(record)) for rows in (records, kept))
    return {"official": {part: number._asdict() for part, number in numbers.items()}, "excluded": before - after}


def _without(records: list[FaceRecord], excluded: tuple[str, ...]) -> list[FaceRecord]:
    names = set(excluded)
    known = {record.record_id for record in records} | {record.sha256 for record in records}
    unused = sorted(names - known)
    if unused:
        log.warning("index.exclude names nothing that exists: %s", ", ".join(unused))
    return [record for record in records if record.record_id not in names and record.sha256 not in names]
