"""A set of faces copied into the generic layout, where faults can be planted, on its way through validation."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from model.config import IndexConfig, ValidateConfig
from model.config.data import Source, Splits
from model.data.index import MANIFEST_FILE, build_index
from model.data.manifest import read_manifest
from model.data.readers import generic
from model.data.validate import QUARANTINE_FILE, REPORT_FILE, validate_manifest
from model.errors import DataContractError
from model.schema import SPLITS, FaceRecord
from model.storage import read_bytes, read_json

Label = dict[str, Any]
"""A face as a line of `labels.jsonl`."""

Item = TypeVar("Item")

_NAME = "copy"
_SOURCE = Source(
    name=_NAME,
    reader="generic",
    path=_NAME,
    restricted=True,
    splits=Splits(train=("train",), val=("val",), test=("test",)),
)


@dataclass(frozen=True)
class Verdict:
    """What validation said: the rule that moved each row (by id), warnings, why it stopped (empty: it passed)."""

    flags: dict[str, str]
    warnings: list[str]
    stopped: str


@dataclass
class Copy:
    """Pictures below `root/copy`, faces as labels; validation works under `root` too."""

    root: Path
    config: ValidateConfig
    faces: list[Label] = field(default_factory=list)

    def picture(self, face: Label) -> bytes:
        """The bytes of a face's picture."""
        path: Path = self.root / _NAME / face["image"]
        return path.read_bytes()

    def add(self, name: str, content: bytes) -> str:
        """Write a picture; returns its address for a label."""
        path = self.root / _NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def judge(self, faces: Sequence[Label], *, between: Callable[[], None] = lambda: None, **changes: Any) -> Verdict:
        """Index the faces, do what is to happen `between`, validate with changed settings."""
        text = "".join(f"{json.dumps(face)}\n" for face in faces)
        (self.root / _NAME / generic.LABELS_FILE).write_text(text)
        build_index(IndexConfig(sources=(_SOURCE,), holdout=0.0, exclude=()), data=self.root, out=self.root, seed=0)
        between()
        stopped = ""
        try:
            validate_manifest(
                self.config.model_copy(update=changes),
                manifest=self.root / MANIFEST_FILE,
                data=self.root,
                artifacts=self.root,
                reports=self.reports,
            )
        except DataContractError as error:
            stopped = str(error)
        with (self.root / QUARANTINE_FILE).open(newline="") as stream:
            flags = {row["record_id"]: row["rule"] for row in csv.DictReader(stream)}
        return Verdict(flags, read_json(self.reports / REPORT_FILE)["warnings"], stopped)

    @property
    def reports(self) -> Path:
        """Where the report of the last validation lies."""
        return self.root / "reports"


def record_ids(faces: Sequence[Label]) -> list[str]:
    """The record id that each face gets in a manifest."""
    seen: Counter[str] = Counter()
    names = []
    for number, face in enumerate(faces, start=1):
        try:
            generic.Label.model_validate_json(json.dumps(face))
        except ValidationError:
            names.append(f"{_NAME}/{generic.LABELS_FILE}#{number}")
            continue
        seen[face["image"]] += 1
        again = seen[face["image"]]
        names.append(f"{_NAME}/{face['image']}" + (f"#{again}" if again > 1 else ""))
    return names


def copy_faces(config: ValidateConfig, sources: IndexConfig, *, data: Path, root: Path, limit: int, seed: int) -> Copy:
    """Copy at most `limit` faces of each source and split (0: all) of what lies below `data`."""
    build_index(sources, data=data, out=root, seed=seed)
    sound = [record for record in read_manifest(root / MANIFEST_FILE) if record.problem is None]
    copy = Copy(root, config)
    for number, record in enumerate(thinned(sound, limit, seed, lambda record: (record.source, record.split))):
        suffix = Path(record.image).suffix
        image = copy.add(f"pictures/{number:06}{suffix}", read_bytes(record.image, data))
        copy.faces.append(_label(record, image))
    return copy


def thinned(items: Sequence[Item], limit: int, seed: int, part: Callable[[Item], Any]) -> list[Item]:
    """At most `limit` items of each part (0: all), drawn by the seed, in their order."""
    if not limit:
        return list(items)
    parts: dict[Any, list[int]] = defaultdict(list)
    for position, item in enumerate(items):
        parts[part(item)].append(position)
    generator = np.random.default_rng(seed)
    kept = {int(position) for rows in parts.values() for position in generator.permutation(rows)[:limit]}
    return [item for position, item in enumerate(items) if position in kept]


def of_split(faces: Sequence[Label], *splits: str) -> list[Label]:
    """The faces of some splits."""
    assert set(splits) <= set(SPLITS)
    return [face for face in faces if face["split"] in splits]


def _label(record: FaceRecord, image: str) -> Label:
    points = None if record.points is None else np.reshape(record.points, (-1, 2)).tolist()
    return {
        "image": image,
        "split": record.split,
        "subset": f"{record.source}-{record.subset}",
        "points": points,
        "expression": record.expression,
        "subject": record.group,
        "box": record.box,
        "facts": json.loads(record.facts or "null"),
    }
