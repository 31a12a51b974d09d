"""What validation tells: the quarantine table, counts by source and split, and the entry of each rule."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.data.validate.suite import Outcome
from model.schema import EXPRESSIONS, SPLITS, FaceRecord
from model.storage import atomic_path

_FIRST = 10


class Quarantined(NamedTuple):
    """One row that left the set: which rule moved it, and why."""

    record: FaceRecord
    rule: str
    kind: str
    reason: str


def write_quarantine(path: Path, rows: Sequence[Quarantined]) -> None:
    """A line a row: record_id, image, rule, reason."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["record_id", "image", "rule", "reason"])
        table.writerows([row.record.record_id, row.record.image, row.rule, row.reason] for row in rows)


def rule_entry(outcome: Outcome, moved: Sequence[Quarantined]) -> dict[str, Any]:
    """The entry of a rule in `ValidationReport.rules`; `first` names the first files it moved."""
    mine = [row for row in moved if row.rule == outcome.rule.name]
    return {
        "rule": outcome.rule.name,
        "kind": outcome.rule.kind,
        "purpose": outcome.rule.purpose,
        "passed": outcome.passed,
        "checked": outcome.checked,
        "failed": len(outcome.rows) or int(not outcome.passed),
        "quarantined": len(mine),
        "first": [{"image": row.record.image, "reason": row.reason} for row in mine[:_FIRST]],
    }


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
