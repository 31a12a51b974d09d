"""From a drawn data set to shards: indexed, validated, cut to a fraction of the labels, packed; once for all runs."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.method.frozen import check_frozen, check_pictures
from benchmarks.method.locks import waiting
from benchmarks.method.plan import percent, plain_digest
from model.config import Config, dump_config
from model.data.manifest import read_manifest, write_manifest
from model.data.shards import write_shards
from model.schema import FaceRecord
from model.source import digest_source
from model.storage import atomic_path, read_json, write_json

_STAMP = "stamp.json"
_VALID = "manifest.valid.parquet"
_CUT = "manifest.parquet"


@dataclass(frozen=True)
class Prepared:
    """What the runs on one fraction of a data set share.

    Attributes:
        data: folder of the pictures.
        files: SHA-256 of the drawn files, by name.
    """

    data: Path
    manifest: Path
    shards: Path
    files: dict[str, str]

    def test_records(self) -> list[FaceRecord]:
        """Faces to be measured on, in the order of the label table."""
        return [record for record in read_manifest(self.manifest) if record.split == "test"]

    def label_counts(self) -> dict[str, int]:
        """Training faces by the kind of their label."""
        train = [record for record in read_manifest(self.manifest) if record.split == "train"]
        return {
            "landmarks": sum(record.points is not None for record in train),
            "expression": sum(record.expression is not None for record in train),
        }


def prepare(config: Config, name: str, fraction: float, *, data: Path, results: Path) -> Prepared:
    """Shards of a fraction of a frozen data set, made now unless they are there from the same data, sections and code.

    Raises:
        DataContractError: the data set is not the frozen one, or validation stops.
    """
    files = check_frozen(name, data=data, results=results)
    folder = data / "prepared" / name
    sections = {step: dump_config(config)[step] for step in ("index", "validate", "shard")}
    stamp = {"files": files, "sections": plain_digest(sections), "code": digest_source(["model/data"])}
    with waiting(data / "prepared" / f"{name}.lock"):
        whole, cut = folder / "whole", folder / percent(fraction)
        if _stamp_of(whole) != stamp:
            check_pictures(name, data=data, results=results)
            _index(config, pictures=data / name, out=whole, stamp=stamp)
        if _stamp_of(cut) != stamp:
            _pack(config, fraction, pictures=data / name, whole=whole, out=cut, stamp=stamp)
    return Prepared(data=data / name, manifest=cut / _CUT, shards=cut / "shards", files=files)


def keep_fraction(records: Sequence[FaceRecord], fraction: float) -> list[FaceRecord]:
    """The records with about `fraction` of the training faces of each kind of label; other splits stay whole.

    Subjects are taken whole, in the order of a hash of their name, until the share is reached: a smaller fraction lies
    within a larger one.
    """
    kinds: dict[tuple[bool, bool], list[FaceRecord]] = defaultdict(list)
    for record in records:
        if record.split == "train":
            kinds[record.points is not None, record.expression is not None].append(record)
    kept = {record.record_id for faces in kinds.values() for record in _first_subjects(faces, fraction)}
    return [record for record in records if record.split != "train" or record.record_id in kept]


def _first_subjects(faces: Sequence[FaceRecord], fraction: float) -> list[FaceRecord]:
    subjects: dict[str, list[FaceRecord]] = defaultdict(list)
    for record in faces:
        subjects[record.group or record.record_id].append(record)
    kept: list[FaceRecord] = []
    for subject in sorted(subjects, key=_place):
        if len(kept) >= round(fraction * len(faces)):
            break
        kept += subjects[subject]
    return kept


def _place(subject: str) -> bytes:
    return hashlib.sha256(subject.encode()).digest()


def _index(config: Config, *, pictures: Path, out: Path, stamp: dict[str, Any]) -> None:
    from model.data.index import MANIFEST_FILE, build_index
    from model.data.validate import validate_manifest

    (out / _STAMP).unlink(missing_ok=True)
    build_index(config.index, data=pictures, out=out, seed=0)
    validate_manifest(config.validate_, manifest=out / MANIFEST_FILE, data=pictures, artifacts=out, reports=out)
    write_json(out / _STAMP, stamp)


def _pack(config: Config, fraction: float, *, pictures: Path, whole: Path, out: Path, stamp: dict[str, Any]) -> None:
    with atomic_path(out) as folder:
        folder.mkdir()
        write_manifest(folder / _CUT, keep_fraction(read_manifest(whole / _VALID), fraction))
        write_shards(config.shard, manifest=folder / _CUT, data=pictures, out=folder / "shards")
        write_json(folder / _STAMP, stamp)


def _stamp_of(folder: Path) -> Any:
    path = folder / _STAMP
    return read_json(path) if path.exists() else None
