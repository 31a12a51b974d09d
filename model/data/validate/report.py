"""What validation tells: the quarantine table, counts by source and split, and the entry of each rule."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.data.validate.suite import Outcome
from model.schema import EXPRESSIONS, SPLITS, FaceRecord
from model.storage import atomic_path

_FIRST = 10


class Quarantined(NamedTuple):
    """One row that left the set: which rule moved it, why, and how far it lies beyond the limit of that rule."""

    record: FaceRecord
    rule: str
    kind: str
    reason: str
    excess: float


class Broken(NamedTuple):
    """What breaks a rule: a row and why, or no row where the rule is about the whole set."""

    record: FaceRecord | None
    reason: str


def write_quarantine(path: Path, rows: Sequence[Quarantined]) -> None:
    """A line a row: record_id, image, rule, reason."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["record_id", "image", "rule", "reason"])
        table.writerows([row.record.record_id, row.record.image, row.rule, row.reason] for row in rows)


def rule_entry(outcome: Outcome, broken: Sequence[Broken], moved: int) -> dict[str, Any]:
    """The entry of a rule in `ValidationReport.rules`.

    `first` has what breaks it first, without file and id where that is no row; of these rows it `moved` those that no
    rule before it had moved.
    """
    rule = outcome.rule
    return {
        "rule": rule.name,
        "kind": rule.kind,
        "purpose": rule.purpose,
        "action": rule.action,
        "passed": outcome.passed,
        "checked": outcome.checked,
        "failed": len(outcome.rows) or int(not outcome.passed),
        "quarantined": moved,
        "first": [
            {
                "record_id": record.record_id if record else None,
                "image": record.image if record else None,
                "reason": reason,
            }
            for record, reason in broken[:_FIRST]
        ],
    }


def told(item: Mapping[str, str | None]) -> str:
    """An item of `first` as a sentence: the file, where there is one, and the reason."""
    return ": ".join(part for part in (item["image"], item["reason"]) if part)


def count_faces(records: Iterable[FaceRecord]) -> dict[str, Any]:
    """Faces, landmarks and expressions by source and split, in a fixed order."""
    rows = list(records)
    counts: dict[str, Any] = {}
    for source in sorted({record.source for record in rows}):
        for split in SPLITS:
            part = [record for record in rows if (record.source, record.split) == (source, split)]
            if part:
                counts.setdefault(source, {})[split] = _part(part)
    return counts


def _part(records: list[FaceRecord]) -> dict[str, Any]:
    classes = Counter(record.expression for record in records if record.expression)
    return {
        "faces": len(records),
        "points": sum(record.points is not None for record in records),
        "points19": sum(record.points19 is not None for record in records),
        "expression": {name: classes[name] for name in EXPRESSIONS},
    }
