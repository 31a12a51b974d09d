"""A source in any layout becomes one in the generic layout, with its pictures in few large tars.

Index gives the same rows for both, but for where their pictures lie.
"""

import io
import json
import math
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from model.config.data import PackConfig, Source, Splits
from model.data.readers import read_source
from model.data.readers.common import problem
from model.data.readers.generic import LABELS_FILE
from model.errors import ConfigError, DataContractError, StorageError
from model.schema import SPLITS, FaceRecord
from model.storage import PACK_SEPARATOR, atomic_path, read_bytes

_AT_ONCE = 256
_THREADS = 8
_MB = 1 << 20
_LONGEST_SUFFIX = 8
_AROUND = tarfile.BLOCKSIZE + tarfile.RECORDSIZE
"""Header of a picture, and all that may stand behind it."""


class Packed(NamedTuple):
    """What was written: rows, those among them that cannot be used, pictures, tars; and the source that reads them."""

    faces: int
    problems: int
    pictures: int
    tars: int
    source: Source


def pack_source(config: PackConfig, source: Source, *, data: Path, into: Path) -> Packed:
    """Write `into`, a folder below `data` that must not exist: `labels.jsonl`, and the pictures as `00000.tar` and on.

    Rows come in the reader's order and keep their record ids, labels, groups, splits and facts; a picture with several
    faces is stored once, its bytes as they are. What the reader finds wrong stays in the table as a `problem`. The same
    source gives the same bytes.

    Raises:
        ConfigError: `into` exists, or lies elsewhere.
        DataContractError: the layout cannot be understood, or has no row of the source's splits.
        StorageError, ServiceError: a disk that is full, S3 that is away.
    """
    if not into.resolve().is_relative_to(data.resolve()) or into.resolve() == data.resolve():
        raise ConfigError(f"--into {into}: must lie below {data}, where sources are looked for")
    if into.exists() or into.is_symlink():
        raise ConfigError(f"--into {into}: exists already; name another folder, or move this one away")
    splits: set[str] = set()
    faces = problems = 0
    with atomic_path(into) as folder:
        folder.mkdir()
        with _Tars(folder, config.max_mb * _MB) as tars, (folder / LABELS_FILE).open("w", newline="\n") as table:
            for record, image in _stored(read_source(source, data), data, tars):
                table.write(_line(source, record, image) + "\n")
                splits.add(record.split)
                faces, problems = faces + 1, problems + (record.problem is not None)
        if faces == 0:
            raise DataContractError(f"{source.path}: no row of the splits of source {source.name}; see its `splits`")
    entry = Source(
        name=source.name,
        reader="generic",
        path=into.resolve().relative_to(data.resolve()).as_posix(),
        restricted=source.restricted,
        people=source.people,
        splits=Splits(**{split: (split,) for split in SPLITS if split in splits}),
    )
    return Packed(faces, problems, tars.pictures, tars.number, entry)


class _Tars:
    """Plain tars of a bounded size, one after another."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.number = self.pictures = 0
        self._folder, self._max_bytes = folder, max_bytes
        self._stack = ExitStack()
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> "_Tars":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, content: bytes, suffix: str) -> str:
        """Store a picture; returns its address below the folder."""
        if self._tar is None or self._tar.offset + len(content) + _AROUND > self._max_bytes:
            self._tar = self._next()
        member = tarfile.TarInfo(f"{self.pictures:08d}{suffix}")
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        self.pictures += 1
        return f"{self.number - 1:05d}.tar{PACK_SEPARATOR}{member.name}"

    def _next(self) -> tarfile.TarFile:
        self._stack.close()
        path = self._folder / f"{self.number:05d}.tar"
        self.number += 1
        return self._stack.enter_context(tarfile.open(path, "w", format=tarfile.USTAR_FORMAT))


def _stored(records: Iterator[FaceRecord], data: Path, tars: _Tars) -> Iterator[tuple[FaceRecord, str | None]]:
    """Each record with the address of its picture, which is stored before; None where it has none to store."""
    places: dict[str, str] = {}
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(desc="pack", unit=" faces", disable=None) as progress,
    ):
        while chunk := [_checked(record) for record in islice(records, _AT_ONCE)]:
            wanted = _new(chunk, places)
            missing: dict[str, str] = {}
            for image, content in zip(wanted, pool.map(lambda image: _read(image, data), wanted), strict=True):
                if isinstance(content, bytes):
                    places[image] = tars.add(content, _suffix(image))
                else:
                    missing[image] = content
            for record in chunk:
                named = replace(record, problem=record.problem or missing.get(record.image))
                yield named, None if named.problem else places[record.image]
            progress.update(len(chunk))


def _new(records: Iterable[FaceRecord], places: dict[str, str]) -> list[str]:
    """Pictures that are to be stored, each once, in order."""
    images = dict.fromkeys(record.image for record in records if record.problem is None)
    return [image for image in images if image not in places]


def _read(image: str, data: Path) -> bytes | str:
    """The bytes of a picture, or what index says where it is missing."""
    try:
        return read_bytes(image, data)
    except StorageError as error:
        return problem("missing_picture", image, str(error.__cause__ or error))


def _checked(record: FaceRecord) -> FaceRecord:
    """JSON has no word for what is not a number."""
    numbers = [*(record.box or []), *(record.points or []), *(record.points19 or [])]
    if all(map(math.isfinite, numbers)):
        return record
    what = record.problem or problem("not_finite", record.image, "a point or an edge of the box is no number")
    return replace(record, box=None, points=None, points_mask=None, points19=None, points19_mask=None, problem=what)


def _suffix(image: str) -> str:
    suffix = PurePosixPath(image).suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= _LONGEST_SUFFIX else ""


def _line(source: Source, record: FaceRecord, image: str | None) -> str:
    """A line of `labels.jsonl` from which the generic reader makes the record again."""
    values = {
        "image": image or record.image.removeprefix(f"{source.path}/"),
        "split": record.split,
        "subset": record.subset,
        "points": _pairs(record.points),
        "points19": _pairs(record.points19),
        "points19_mask": record.points19_mask,
        "expression": record.expression,
        "votes": record.votes,
        "subject": None if record.group is None else record.group.removeprefix(f"{source.namespace}/"),
        "box": record.box,
        "facts": json.loads(record.facts) if record.facts else None,
        "id": record.record_id.removeprefix(f"{source.name}/"),
        "problem": record.problem,
    }
    known = {name: value for name, value in values.items() if value is not None}
    return json.dumps(known, separators=(",", ":"), allow_nan=False)


def _pairs(values: list[float] | None) -> list[Any] | None:
    return None if values is None else [list(pair) for pair in zip(values[::2], values[1::2], strict=True)]
