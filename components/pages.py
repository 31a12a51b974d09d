"""What the steps show on the page of a run: Markdown and tables made from their reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from components.journal import Entry, last_tries
from model.schema import EXPRESSIONS, INTENDED_USE, ModelVersion, ValidationReport
from model.search import MACRO_F1, NME
from model.storage import read_json

if TYPE_CHECKING:
    from model.search.pick import SearchResult

Row = Mapping[str, Any]

# Values that stand beside the network's: its answers before the exchange, and the simple model's.
_BESIDE = ("_base", "_simple")


def validation_page(report: ValidationReport) -> str:
    """Faces by source and split, and the rules that found something with what to do about it."""
    faces = [
        {"source": source, "split": split, "faces": counts["faces"]}
        for source, splits in report.counts["valid"].items()
        for split, counts in splits.items()
    ]
    rules = [
        {"rule": rule["rule"], "kind": rule["kind"], "faces": rule["failed"], "do": rule["action"]}
        for rule in report.rules
    ]
    return _page(
        f"{report.valid} of {report.rows} faces are valid",
        f"{report.quarantined} went to quarantine. Data digest `{report.data_digest}`.",
        _table(faces),
        _table([rule for rule in rules if rule["faces"]]),
        *(f"Warning: {text}" for text in report.warnings),
    )


def confusion_matrix(reports: Path) -> tuple[list[str], list[list[int]]]:
    """Names and counts (rows: actual, columns: predicted) as kfp's ClassificationMetrics takes them.

    All counts are 0 where the net gives no expressions: then there is no table of them.
    """
    file = reports / "plots" / "confusion.csv"
    pairs = (
        pd.read_csv(file, keep_default_na=False) if file.is_file() else pd.DataFrame(columns=["actual", "predicted"])
    )
    counts = pd.crosstab(pairs["actual"], pairs["predicted"])
    names = list(EXPRESSIONS)
    filled = counts.reindex(index=names, columns=names, fill_value=0).to_numpy(np.int64)
    return names, filled.tolist()


def registration_page(version: ModelVersion, *, approval: Sequence[str] = ()) -> str:
    """The version, the gate's word and its reasons, and whose approval it waits for."""
    waits = f"Waits for approval: `rmtl promote --version {version.version} --approved-by {'|'.join(approval)}`."
    return _page(
        f"{version.name} version {version.version}: gate {version.gate}",
        f"Weights `{version.weights_digest}`, data `{version.data_digest}`.",
        *(f"- {reason}" for reason in version.reasons),
        waits if approval and version.gate == "pass" else "",
        INTENDED_USE,
    )


def search_page(result: "SearchResult") -> str:
    """The front of the study, and the trial that was picked."""
    rows = [
        {"trial": item["trial"], "NME %": item["values"].get(NME), "macro-F1 %": item["values"].get(MACRO_F1)}
        | item["params"]
        for item in result.front
    ]
    title = f"{result.finished} trials, trial {result.trial} chosen"
    return _page(title, f"Held-out faces. Rule of the choice: {result.rule}.", _table(rows))


def comparison(names: Sequence[str], rows: Sequence[Row], evaluations: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, overrides and headline values of each row."""
    reports = [read_json(path) for path in evaluations]
    return [
        {
            "name": name,
            "overrides": dict(overrides),
            "weights_digest": report["weights_digest"],
            **report["summary"],
        }
        for name, overrides, report in zip(names, rows, reports, strict=True)
    ]


def comparison_page(compared: Sequence[Row]) -> str:
    """The final answers' headline values, a line a row."""
    shown = [
        {name: value for name, value in row.items() if name == "name" or ("/" in name and not name.endswith(_BESIDE))}
        for row in compared
    ]
    return _page(f"{len(compared)} rows", _table(shown))


def run_report(entries: Sequence[Entry], *, state: str, error: str | None, who: str) -> dict[str, Any]:
    """Outcome and cost of a run: every try of every step, and the sums."""
    return {
        "state": state,
        "who": who,
        "failure": None if state == "SUCCEEDED" else _failure(entries),
        "orchestrator": error or "",
        "seconds": round(sum(entry.seconds for entry in entries), 3),
        "cpu_seconds": round(sum(entry.cpu_seconds for entry in entries), 2),
        "gpu_seconds": round(sum(entry.seconds * entry.gpus for entry in entries), 3),
        "steps": [
            {
                "step": entry.step,
                "attempt": entry.attempt,
                "exit_code": entry.exit_code,
                "seconds": entry.seconds,
                "cpu_seconds": entry.cpu_seconds,
                "memory_mb": entry.memory_mb,
                "gpus": entry.gpus,
            }
            for entry in entries
        ],
    }


def _failure(entries: Sequence[Entry]) -> dict[str, Any]:
    """The first step that failed for good, whose code the run ends with; one that a retry mended is none."""
    failed = [entry for entry in last_tries(entries) if entry.exit_code]
    if not failed:
        return {"step": "", "exit_code": 1, "message": "a step was killed, or none is in the journal (RMTL_JOURNAL)"}
    return {"step": failed[0].step, "exit_code": failed[0].exit_code, "message": failed[0].message}


def run_page(report: Mapping[str, Any]) -> str:
    """The run's report for people."""
    failure = report["failure"]
    cause = f"**{failure['step']}** ended with code {failure['exit_code']}: {failure['message']}" if failure else ""
    cost = f"{report['seconds']} s in steps, {report['cpu_seconds']} s of CPU, {report['gpu_seconds']} s of GPU."
    note = "Steps that the cache answered are not listed."
    return _page(f"Run {report['state'].lower()}", cause, cost, _table(report["steps"]), note)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *(part for part in parts if part)]) + "\n"


def _table(rows: Sequence[Row]) -> str:
    """A Markdown table; empty without rows."""
    return pd.DataFrame(rows).to_markdown(index=False, floatfmt=".4g") if rows else ""
