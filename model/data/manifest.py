"""The manifest: one row a face, in the columns of `schema.MANIFEST`, as parquet."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import DataContractError
from model.schema import MANIFEST, FaceRecord
from model.storage import atomic_path

# What a label or a pixel change must change; paths may move without a new version of the data.
_DIGESTED = ("record_id", "split", "sha256", "box", "points", "points_mask", "points19", "points19_mask", "expression")

_ABOUT = b"about"

# Rows as dictionaries take several times the memory of a table's.
_AT_ONCE = 4096


def write_manifest(path: Path, records: Iterable[FaceRecord], about: Mapping[str, Any] | None = None) -> None:
    """Write rows in the order given, atomically, with JSON values `about` all of them in the file's metadata."""
    rows = iter(records)
    parts = []
    while part := [_row(record) for record in islice(rows, _AT_ONCE)]:
        parts.append(pa.Table.from_pylist(part, schema=MANIFEST))
    table = pa.concat_tables(parts).combine_chunks() if parts else MANIFEST.empty_table()
    if about is not None:
        table = table.replace_schema_metadata({_ABOUT: json.dumps(about, sort_keys=True)})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_manifest(path: Path) -> list[FaceRecord]:
    """All rows, in order.

    Raises:
        DataContractError: no file, or other columns than `schema.MANIFEST`.
    """
    batches = _read_table(path).to_batches(max_chunksize=_AT_ONCE)
    return [FaceRecord(**row) for batch in batches for row in batch.to_pylist()]


def read_about(path: Path) -> dict[str, Any]:
    """What `write_manifest` was given about all rows of a sound manifest; empty for nothing."""
    about: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {}).get(_ABOUT, b"{}"))
    return about


def read_frame(path: Path) -> pd.DataFrame:
    """The manifest as a table for rules and statistics; raises like `read_manifest`."""
    frame: pd.DataFrame = _read_table(path).to_pandas()
    return frame


def part_of(record: FaceRecord) -> str:
    """`source/subset`, by which official numbers are told."""
    return f"{record.source}/{record.subset}"


def has_label(record: FaceRecord) -> bool:
    """Whether there are points or an expression."""
    return bool(record.points or record.points19 or record.expression)


def data_digest(records: Iterable[FaceRecord]) -> str:
    """16 hexadecimal digits that change with a picture, a label, a vote, a box or a split, not with the order."""
    lines = [_line(record) for record in records]
    digest = hashlib.sha256()
    for number, line in enumerate(sorted(lines)):
        digest.update((f"\n{line}" if number else line).encode())
    return digest.hexdigest()[:16]


def _line(record: FaceRecord) -> str:
    """What counts of a record; votes only where it has some, so that data without any keep their name."""
    values = [getattr(record, name) for name in _DIGESTED]
    return json.dumps(values + ([list(record.votes)] if record.votes else []), separators=(",", ":"))


def _row(record: FaceRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in MANIFEST.names}


def _read_table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataContractError(f"{path}: not a manifest: {error}; run `rmtl index`, then `rmtl validate`") from error
    if not table.schema.equals(MANIFEST):
        raise DataContractError(f"{path}: columns {table.schema.names}, need {MANIFEST.names}; run `rmtl index` again")
    return table
