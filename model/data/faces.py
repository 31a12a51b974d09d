"""The reading side of the shards: labels of one split as arrays, pictures by offset."""

import os
import weakref
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.data.codec import Floats, Pixels, decode_known
from model.errors import DataContractError, ImageError, StorageError
from model.schema import EXPRESSIONS, LANDMARKS, LANDMARKS_19, NO_LABEL, VOTES
from model.storage import digest_file, read_json

FORMAT = 1
INDEX_FILE = "index.json"
TABLE = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("crc32", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("box", pa.list_(pa.float64())),
        ("points", pa.list_(pa.float64())),
        ("points_mask", pa.list_(pa.bool_())),
        ("points19", pa.list_(pa.float64())),
        ("points19_mask", pa.list_(pa.bool_())),
        ("expression", pa.string()),
        ("votes", pa.list_(pa.int32())),
    ]
)
"""Columns of `<split>.parquet`: where the picture lies, its size, and the labels in its own coordinates."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def shard_name(split: str, number: int) -> str:
    """File name of one tar."""
    return f"{split}-{number:06d}.tar"


def table_name(split: str) -> str:
    """File name of the labels of a split."""
    return f"{split}.parquet"


@dataclass(frozen=True, eq=False)
class Faces:
    """One split of the shards: N faces in the order of the manifest.

    Points are pixels of the stored picture, zero where the mask is false; `expression_N` is `NO_LABEL` where unknown,
    `votes_NV` zero where nobody voted. `source_N` numbers `sources`. Around a face `window` box sides are stored.
    """

    folder: Path
    split: str
    window: float
    data_digest: str
    restricted: bool
    sources: tuple[str, ...]
    record_ids: list[str]
    source_N: Ints
    size_N2: Ints
    box_N4: Floats
    landmarks_NK2: Floats
    landmarks_mask_NK: Bools
    points19_NM2: Floats
    points19_mask_NM: Bools
    expression_N: Ints
    votes_NV: Floats
    _place_N4: Ints
    _open: dict[int, int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.record_ids)

    def read_picture(self, row: int) -> Pixels:
        """Upright pixels of one stored picture; safe from several threads and processes.

        Raises:
            StorageError: the shard cannot be read, or its bytes are not those that were written.
            ImageError: the bytes are whole but are not a picture.
        """
        shard, offset, size, checksum = self._place_N4[row].tolist()
        try:
            content = os.pread(self._descriptor(shard), size, offset)
        except OSError as error:
            raise StorageError(f"{self._where(row)}: cannot be read: {error}; run `rmtl shard` again") from error
        if zlib.crc32(content) != checksum:
            raise StorageError(f"{self._where(row)}: bytes differ from those written; run `rmtl shard` again")
        width, height = self.size_N2[row].tolist()
        try:
            return decode_known(content, max_pixels=width * height)
        except ImageError as error:
            raise ImageError(error.code, f"{self._where(row)}: {error}") from error

    def _where(self, row: int) -> str:
        shard, offset = self._place_N4[row, :2].tolist()
        return f"{self.folder / shard_name(self.split, shard)}, byte {offset} (record {self.record_ids[row]})"

    def _descriptor(self, shard: int) -> int:
        if shard not in self._open:
            descriptor = os.open(self.folder / shard_name(self.split, shard), os.O_RDONLY | os.O_CLOEXEC)
            # Two threads may open the same shard; both descriptors are closed, one of them is used.
            weakref.finalize(self, os.close, descriptor)
            self._open[shard] = descriptor
        return self._open[shard]


def read_index(folder: Path) -> dict[str, Any]:
    """`index.json` of the shards.

    Raises:
        DataContractError: it is missing, unreadable, or of another format.
    """
    try:
        index: dict[str, Any] = read_json(folder / INDEX_FILE)
    except StorageError as error:
        raise DataContractError(f"{folder}: no shards: {error}; run `rmtl shard`") from error
    if index.get("format") != FORMAT:
        raise DataContractError(f"{folder / INDEX_FILE}: format {index.get('format')}, need {FORMAT}; run `rmtl shard`")
    return index


def read_faces(folder: Path, split: str) -> Faces:
    """Labels of a split, with its shards ready for reading.

    Raises:
        DataContractError: no shards, an unknown split, no face in it, or a file that is not the one written.
    """
    index = read_index(folder)
    if not index["faces"].get(split):
        raise DataContractError(f"{folder}: split {split} holds no face (has {index['faces']}); check `index.sources`")
    for name, entry in index["files"][split].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise DataContractError(f"{path}: missing or not of {entry['bytes']} bytes; run `rmtl shard` again")
    path = folder / table_name(split)
    if digest_file(path) != index["files"][split][path.name]["sha256"]:
        raise DataContractError(f"{path}: differs from the table that was written; run `rmtl shard` again")
    table = pq.read_table(path, schema=TABLE).combine_chunks()
    return _from_table(folder, split, index, table)


def _from_table(folder: Path, split: str, index: dict[str, Any], table: pa.Table) -> Faces:
    source_names = table["source"].to_pylist()
    sources = tuple(sorted(set(source_names)))
    landmarks, landmarks_mask = _points(table, "points", LANDMARKS)
    # Here the mask tells what is visible; hidden points are labelled too, learnt and by default scored.
    flat_NX, present_N = _dense(table, "points19", 2 * LANDMARKS_19)
    points19 = flat_NX.reshape(-1, LANDMARKS_19, 2)
    points19_mask = np.repeat(present_N[:, None], LANDMARKS_19, axis=1)
    expression = [NO_LABEL if name is None else EXPRESSIONS.index(name) for name in table["expression"].to_pylist()]
    return Faces(
        folder=folder,
        split=split,
        window=index["window"],
        data_digest=index["data_digest"],
        restricted=index["restricted"],
        sources=sources,
        record_ids=table["record_id"].to_pylist(),
        source_N=np.array([sources.index(name) for name in source_names], dtype=np.int64),
        size_N2=_integers(table, "width", "height"),
        box_N4=_dense(table, "box", 4)[0],
        landmarks_NK2=landmarks,
        landmarks_mask_NK=landmarks_mask,
        points19_NM2=points19,
        points19_mask_NM=points19_mask,
        expression_N=np.array(expression, dtype=np.int64),
        votes_NV=_dense(table, "votes", len(VOTES))[0],
        _place_N4=_integers(table, "shard", "offset", "size", "crc32"),
    )


def _integers(table: pa.Table, *names: str) -> Ints:
    return np.stack([table[name].to_numpy().astype(np.int64) for name in names], axis=1)


def _points(table: pa.Table, name: str, count: int) -> tuple[Floats, Bools]:
    points, present = _dense(table, name, 2 * count)
    mask, masked = _dense(table, f"{name}_mask", count)
    known = np.where(masked[:, None], mask > 0, present[:, None]) & present[:, None]
    points_NK2 = points.reshape(len(points), count, 2)
    return np.where(known[:, :, None], points_NK2, 0.0), known


def _dense(table: pa.Table, name: str, width: int) -> tuple[Floats, Bools]:
    """A column of lists as rows of zeros where null, and which rows are not null."""
    column = table[name].chunk(0) if table.num_rows else pa.array([], type=table.schema.field(name).type)
    present = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    values = np.zeros((len(column), width))
    values[present] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return values, present
