"""Training data in few large files: tar shards of small pictures, one parquet table of labels a split, an index.

A picture is addressed by the offset of its bytes in a tar, so that a loader seeks and never unpacks. The same manifest,
data and configuration give the same bytes.
"""

import io
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from model.config import ShardConfig
from model.data.codec import (
    Floats,
    Pixels,
    crop_matrix,
    decode_image,
    encode_points,
    face_window,
    is_face_crop,
)
from model.data.faces import FORMAT, INDEX_FILE, TABLE, read_faces, shard_name, table_name
from model.data.manifest import data_digest, read_manifest
from model.errors import DataContractError, ImageError
from model.schema import SPLITS, Box, FaceRecord
from model.storage import atomic_path, digest_bytes, digest_file, read_bytes, write_json

_JPEG_QUALITY = 95
_SUFFIXES = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp", b"BM": "bmp", b"GI": "gif"}


class _Picture(NamedTuple):
    """A picture as stored, and how its coordinates follow from the original: (x - origin + 0.5) * factor - 0.5."""

    content: bytes
    width: int
    height: int
    origin: tuple[float, float] = (0.0, 0.0)
    factor: tuple[float, float] = (1.0, 1.0)


def write_shards(config: ShardConfig, *, manifest: Path, data: Path, out: Path) -> dict[str, Any]:
    """Pack every valid row of the manifest into `out`, which is replaced as a whole.

    A picture no larger than `max_side` keeps its bytes. A larger one is cut to the square of `window` box sides around
    the face (a face crop stays whole), reduced to `max_side` and stored as JPEG of quality 95; points and box move
    along.

    Returns:
        The index: digest of the data, sources, faces by split, counts by split and source, and whether a source is
        restricted.

    Raises:
        DataContractError: a row that validation should have removed, a picture that changed since, or other counts
            than the manifest's.
    """
    records = read_manifest(manifest)
    bad = next((record for record in records if record.problem or record.split not in SPLITS), None)
    if bad is not None:
        problem = bad.problem or f"split {bad.split!r}"
        raise DataContractError(f"{manifest}: record {bad.record_id} ({bad.image}): {problem}; run `rmtl validate`")
    with atomic_path(out) as folder:
        folder.mkdir()
        files = {}
        for split in SPLITS:
            chosen = [record for record in records if record.split == split]
            files[split] = _write_split(config, chosen, data, folder, split)
        index = {**_index(records, files), "window": config.window}
        _check_counts(index, folder)
        write_json(folder / INDEX_FILE, index)
    return index


def read_points(shards: Path, split: str, crop_scale: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Landmarks in crop units of all faces that have any, for the mean shape.

    Returns:
        landmarks_NK2 (zero where unknown) and mask_NK; N may be 0.

    Raises:
        DataContractError: no shards, or no face in the split.
    """
    faces = read_faces(shards, split)
    rows = np.flatnonzero(faces.landmarks_mask_NK.any(axis=1))
    points = np.zeros((len(rows), *faces.landmarks_NK2.shape[1:]))
    for number, row in enumerate(rows):
        x0, y0, x1, y1 = faces.box_N4[row].tolist()
        width, height = faces.size_N2[row].tolist()
        matrix = crop_matrix(face_window((x0, y0, x1, y1), width, height, crop_scale))
        points[number] = encode_points(faces.landmarks_NK2[row], matrix)
    mask = faces.landmarks_mask_NK[rows]
    return np.where(mask[:, :, None], points, 0.0), mask


def _write_split(
    config: ShardConfig, records: Sequence[FaceRecord], data: Path, folder: Path, split: str
) -> dict[str, dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    prepare = partial(_prepare, config=config, data=data)
    starts = range(0, len(records), config.faces_per_shard)
    names = [shard_name(split, number) for number in range(len(starts))]
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(records), desc=f"shard {split}", unit="face", disable=None) as progress,
    ):
        for number, start in enumerate(starts):
            chunk = records[start : start + config.faces_per_shard]
            with tarfile.open(folder / names[number], "w", format=tarfile.USTAR_FORMAT) as archive:
                for record, picture in zip(chunk, pool.map(prepare, chunk), strict=True):
                    offset = _add_member(archive, f"{len(rows):08d}", picture.content)
                    rows.append(_row(record, picture, number, offset))
                    progress.update()
    names.append(table_name(split))
    pq.write_table(pa.Table.from_pylist(rows, schema=TABLE), folder / names[-1], compression="zstd")
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": digest_file(folder / name)} for name in names}


def _prepare(record: FaceRecord, *, config: ShardConfig, data: Path) -> _Picture:
    where = f"record {record.record_id} ({record.image})"
    if not record.width or not record.height:
        raise DataContractError(f"{where}: size of the picture unknown; run `rmtl validate`")
    content = read_bytes(record.image, data)
    if record.sha256 and digest_bytes(content) != record.sha256:
        raise DataContractError(
            f"{where}: picture changed since it was validated; run `rmtl index` and `rmtl validate`"
        )
    try:
        image = decode_image(content, max_pixels=record.width * record.height)
    except ImageError as error:
        raise DataContractError(f"{where}: {error}; run `rmtl validate` again") from error
    height, width = image.shape[:2]
    if (width, height) != (record.width, record.height):
        raise DataContractError(
            f"{where}: {width}x{height} pixels, manifest says {record.width}x{record.height}; run `rmtl index` again"
        )
    whole = _Picture(content, width, height)
    if max(width, height) <= config.max_side:
        return whole
    box = _box(record, width, height)
    cut = _cut(image, box, config)
    # Rounding may bring a box to the border: then the loader would take the whole cut for the face crop.
    same_crop = is_face_crop(_move_box(box, cut), cut.width, cut.height) == is_face_crop(box, width, height)
    return cut if same_crop else whole


def _cut(image_HWC: Pixels, box: Box, config: ShardConfig) -> _Picture:
    height, width = image_HWC.shape[:2]
    cx, cy, side = face_window(box, width, height, config.window)
    left, top = (int(np.clip(np.floor(c - side / 2), 0, n - 1)) for c, n in ((cx, width), (cy, height)))
    right, bottom = (int(np.ceil(c + side / 2)) + 1 for c in (cx, cy))
    region = image_HWC[top : max(bottom, top + 1), left : max(right, left + 1)]
    reduction = max(1.0, max(region.shape[:2]) / config.max_side)
    columns, rows = (max(1, round(extent / reduction)) for extent in (region.shape[1], region.shape[0]))
    stored = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA) if reduction > 1 else region
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(stored, dtype=np.uint8)).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    factor = columns / region.shape[1], rows / region.shape[0]
    return _Picture(buffer.getvalue(), columns, rows, (left, top), factor)


def _box(record: FaceRecord, width: int, height: int) -> Box:
    if record.box is None:
        return 0.0, 0.0, width - 1.0, height - 1.0
    x0, y0, x1, y1 = record.box
    return x0, y0, x1, y1


def _move_box(box: Box, picture: _Picture) -> Box:
    x0, y0, x1, y1 = _move(list(box), picture) or box
    return x0, y0, x1, y1


def _move(points: list[float] | None, picture: _Picture) -> list[float] | None:
    if points is None or (picture.factor == (1.0, 1.0) and picture.origin == (0.0, 0.0)):
        return points
    moved = (np.reshape(points, (-1, 2)) - picture.origin + 0.5) * picture.factor - 0.5
    values: list[float] = moved.ravel().tolist()
    return values


def _add_member(archive: tarfile.TarFile, stem: str, content: bytes) -> int:
    """Append a file with nothing in its header that differs between runs; returns where its bytes start."""
    member = tarfile.TarInfo(f"{stem}.{_SUFFIXES[content[:2]]}")
    member.size = len(content)
    offset = archive.offset + tarfile.BLOCKSIZE
    archive.addfile(member, io.BytesIO(content))
    return offset


def _row(record: FaceRecord, picture: _Picture, shard: int, offset: int) -> dict[str, Any]:
    return {
        "record_id": record.record_id,
        "source": record.source,
        "shard": shard,
        "offset": offset,
        "size": len(picture.content),
        "crc32": zlib.crc32(picture.content),
        "width": picture.width,
        "height": picture.height,
        "box": _move(record.box, picture) or list(_box(record, picture.width, picture.height)),
        "points": _move(record.points, picture),
        "points_mask": record.points_mask,
        "points19": _move(record.points19, picture),
        "points19_mask": record.points19_mask,
        "expression": record.expression,
        "votes": record.votes,
    }


def _index(records: Sequence[FaceRecord], files: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    counts = {split: Counter(record.source for record in records if record.split == split) for split in SPLITS}
    return {
        "format": FORMAT,
        "data_digest": data_digest(records),
        "restricted": any(record.restricted for record in records),
        "sources": sorted({record.source for record in records}),
        "faces": {split: sum(counts[split].values()) for split in SPLITS},
        "counts": {split: dict(sorted(counts[split].items())) for split in SPLITS},
        "files": files,
    }


def _check_counts(index: dict[str, Any], folder: Path) -> None:
    for split, number in index["faces"].items():
        written = pq.read_metadata(folder / table_name(split)).num_rows
        if written != number:
            raise DataContractError(f"split {split}: {written} faces written, manifest has {number}; run it again")
