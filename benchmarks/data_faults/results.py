"""What was planted and found, kind by kind, and the table of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from model.evaluation.markdown import markdown

GOALS = {"structure": 1.0, "duplicates": 0.95}


@dataclass(frozen=True)
class Row:
    """A kind of fault: how often it was planted and found, and how many sound rows each of its rules moved.

    `false` of a set-wide fault counts what else was said of the set. `part` is structure, duplicates, beyond (copies
    that no goal asks for), set or drift. `measured` is, of a drift, the PSI of the shifted trait, the chance `p` of so
    large a difference, and the `level` that it must be below.
    """

    part: str
    name: str
    test: str
    planted: int
    found: int
    false: dict[str, int] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)


def report_of(rows: Sequence[Row], before: Mapping[str, int], **about: Any) -> dict[str, Any]:
    """The rows, the rules' findings `before` anything was planted, and recall and precision of each part."""
    return {
        "format": 1,
        "kind": "data-faults",
        **about,
        "before": dict(before),
        "parts": {part: _summary(list(mine)) for part, mine in groupby(rows, key=lambda row: row.part)},
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
        [row["name"], row["test"], str(row["planted"]), str(row["found"]), str(sum(row["false"].values()))]
        for row in report["rows"]
    ]
    parts = [
        [
            f"all of {part}",
            f"recall {100 * told['recall']:.1f} %, precision {100 * told['precision']:.1f} %",
            "",
            "",
            "",
        ]
        for part, told in report["parts"].items()
    ]
    return markdown(heads, [*rows, *parts])


def _summary(rows: Sequence[Row]) -> dict[str, float]:
    """Recall and precision; a sound row that the rule of several kinds moved counts once."""
    planted, found = sum(row.planted for row in rows), sum(row.found for row in rows)
    false = sum({rule: count for row in rows for rule, count in row.false.items()}.values())
    return {
        "recall": round(found / planted, 4) if planted else 1.0,
        "precision": round(found / (found + false), 4) if found + false else 1.0,
    }
