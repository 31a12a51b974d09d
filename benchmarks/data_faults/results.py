"""What was planted and found, kind by kind, and the table of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.entry import markdown

GOALS = {"structure": 1.0, "duplicates": 0.95}


@dataclass(frozen=True)
class Row:
    """A kind of fault: how often it was planted and found, and how many sound rows its rules moved or warned of.

    `part` is structure, duplicates, beyond (copies that no goal asks for), set or drift.
    """

    part: str
    name: str
    test: str
    planted: int
    found: int
    false: int


def report_of(rows: Sequence[Row], before: Mapping[str, int], **about: Any) -> dict[str, Any]:
    """The rows, the rules' findings `before` anything was planted, and recall and precision of each part."""
    return {
        "format": 1,
        "kind": "data-faults",
        **about,
        "before": dict(before),
        "parts": {
            part: _summary([row for row in rows if row.part == part]) for part in dict.fromkeys(r.part for r in rows)
        },
        "rows": [asdict(row) for row in rows],
    }


def missed_goals(report: Mapping[str, Any]) -> list[str]:
    """A sentence for each part below its goal."""
    return [
        f"{part}: {measure} {report['parts'][part][measure]} is below {goal}"
        for part, goal in GOALS.items()
        for measure in ("recall", "precision")
        if part in report["parts"] and report["parts"][part][measure] < goal
    ]


def table(report: Mapping[str, Any]) -> str:
    """Markdown: a line a kind, then a line a part."""
    heads = ["fault", "test", "planted", "found", "falsely flagged"]
    rows = [
        [row["name"], row["test"], str(row["planted"]), str(row["found"]), str(row["false"])] for row in report["rows"]
    ]
    parts = [
        [f"{part}: recall {100 * told['recall']:.1f} %, precision {100 * told['precision']:.1f} %", "", ""] + [""] * 2
        for part, told in report["parts"].items()
    ]
    return markdown(heads, [*rows, *parts])


def _summary(rows: Sequence[Row]) -> dict[str, float]:
    """Recall and precision; a sound row that two kinds' rule moved counts once."""
    planted, found, false = sum(r.planted for r in rows), sum(r.found for r in rows), max(r.false for r in rows)
    return {
        "recall": round(found / planted, 4) if planted else 1.0,
        "precision": round(found / (found + false), 4) if found + false else 1.0,
    }
