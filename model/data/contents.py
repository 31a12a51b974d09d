"""What a file says of faces: the pictures in it by digest, its rows by record, the data that weights came from.

What may hold faces and is not read here is told as such: compressed archives, zips that are no archive of a model, and
packs and tables that are damaged.
"""

import hashlib
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from model.archives import PACK_ENTRIES, ArchiveError, TarReader, open_zip
from model.data.faces import TABLE
from model.data.manifest import data_digest, read_manifest
from model.errors import FaceError
from model.schema import MANIFEST, SPLITS, FaceRecord
from model.storage import digest_file

_LARGEST_JSON = 1 << 24
_ARCHIVE_ENTRIES = 1000
_HEAD = 265
UNREADABLE = "unreadable"
"""What stands for the weights that others began from where their description cannot be read."""
_META = "meta.json"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
}
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    ArchiveError,
    pa.ArrowException,
    FaceError,
)


@dataclass(frozen=True)
class Manifest:
    """The wanted faces of a manifest, and the records of the same persons or photos that are not wanted."""

    data_digest: str
    faces: tuple[FaceRecord, ...]
    kin: tuple[FaceRecord, ...]


class Table(NamedTuple):
    """A table of faces that is no manifest, of kind `shard` or `table`: record ids, and pictures where it has them."""

    kind: str
    records: tuple[str, ...]
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """Weights, an archive or a checkpoint of them, or a version in a registry: their data, and what they began from.

    An `evaluation` has the data that it was measured on, and `splits` of it; the others are about all of their data.
    """

    kind: str
    data_digest: str
    weights_digest: str = ""
    start_digest: str = ""
    splits: frozenset[str] = frozenset(SPLITS)


@dataclass
class Contents:
    """What files tell, by a name that the caller gives each of them.

    Attributes:
        pictures: wanted digests among the pictures that a file is or packs, with their names in the pack.
        manifests: the manifests among the files, with wanted faces or without.
        tables: other tables of faces.
        trained: what names the data it was trained or measured on.
        unread: why the rest of a file could not be looked into.
    """

    wanted: frozenset[str]
    pictures: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    trained: dict[str, Trained] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def look_into(self, path: Path, name: str) -> None:
        """Add what one file tells; one of another kind tells its digest only, a damaged one what can be read of it."""
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        digest = digest_file(path)
        if digest in self.wanted:
            self.pictures[name] = {digest: []}
        if head[:1] == b"{":
            with suppress(*_DAMAGED):
                if path.stat().st_size < _LARGEST_JSON:
                    self._description(json.loads(path.read_bytes()), name, "weights")
            return
        try:
            self._container(path, name, head)
        except _DAMAGED as error:
            self.unread[name] = f"what is in it cannot be read: {error}"

    def _container(self, path: Path, name: str, head: bytes) -> None:
        if head[:4] == b"PAR1":
            self._table(path, name)
        elif head[257:262] == b"ustar":
            for member, digest in _members(path):
                if digest in self.wanted:
                    self.pictures.setdefault(name, {}).setdefault(digest, []).append(member)
        elif head[:2] == b"PK":
            self._description(json.loads(_meta(path)), name, "archive")
            if name not in self.trained:
                raise ArchiveError(f"a zip whose {_META} describes no weights; unpack it, then repeat")
        else:
            kinds = [kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)]
            if kinds:
                raise ArchiveError(f"compressed as {kinds[0]}; unpack it, then repeat")

    def _table(self, path: Path, name: str) -> None:
        columns = pq.read_schema(path).names
        if columns == MANIFEST.names:
            self.manifests[name] = _manifest(read_manifest(path), self.wanted)
        elif "record_id" in columns:
            known = [column for column in ("record_id", "image") if column in columns]
            read = pq.read_table(path, columns=known)
            kind = "shard" if columns == TABLE.names else "table"
            self.tables[name] = Table(kind, *(tuple(read[column].to_pylist()) for column in known))

    def _description(self, values: Mapping[str, Any], name: str, kind: str) -> None:
        if "mean_shape" in values:
            names = ("data_digest", "weights_digest", "start_digest")
            data, weights, start = (str(values.get(key) or "") for key in names)
            self.trained[name] = Trained(kind, data, weights, start)
        elif "origin" in values:
            self.trained[name] = Trained("checkpoint", str(values["origin"]["data_digest"]))
        elif "measures" in values:
            splits = frozenset(row["split"] for row in values["measures"])
            self.trained[name] = Trained("evaluation", str(values["data_digest"]), splits=splits)


def _manifest(records: Iterable[FaceRecord], wanted: frozenset[str]) -> Manifest:
    rows = list(records)
    faces = tuple(record for record in rows if record.sha256 in wanted)
    groups = {record.group for record in faces} - {None}
    kin = tuple(record for record in rows if record.group in groups and record.sha256 not in wanted)
    return Manifest(data_digest(rows), faces, kin)


def _meta(path: Path) -> bytes:
    """The description of the weights in an archive of the model, or as much of it as is read of any JSON."""
    with path.open("rb") as stream, open_zip(stream, max_entries=_ARCHIVE_ENTRIES) as archive:
        if _META not in archive.namelist():
            raise ArchiveError(f"a zip without {_META}; unpack it, then repeat")
        with archive.open(_META) as meta:
            return meta.read(_LARGEST_JSON)


def _members(path: Path) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of each picture of a pack."""
    with path.open("rb") as stream:
        pack = TarReader(stream, max_entries=PACK_ENTRIES)
        for item in pack:
            if item.isreg():
                digest = hashlib.sha256()
                for piece in pack.read(item):
                    digest.update(piece)
                yield item.name, digest.hexdigest()
