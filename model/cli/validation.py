"""What `rmtl validate` prints: sound faces, broken rules with what to do about each, and drift."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from model.cli import workspace
from model.cli.app import show
from model.data.validate.report import told
from model.schema import ValidationReport, to_json

_NUMBERS = ("faces", "68 points", "19 points", "expression", "failed", "moved")
# Wider than any row, so that files and pipes get each in one line.
_UNBOUNDED = 10_000


def show_validation(report: ValidationReport, *, as_json: bool) -> None:
    """Print a report: for machines all of it as JSON, for people what they act on."""
    if as_json:
        show(to_json(report), as_json=True)
        return
    width = None if sys.stdout.isatty() else _UNBOUNDED
    typer.echo(_faces(report, width))
    typer.echo(f"\n{report.valid} of {report.rows} rows are sound, {report.quarantined} in {workspace.QUARANTINE}\n")
    broken = [rule for rule in report.rules if _asks_for_action(rule)]
    if broken:
        typer.echo(broken_rules(broken, width) + "\n")
    named = {rule["rule"] for rule in broken}
    for warning in report.warnings:
        if warning.partition(": ")[0] not in named:
            typer.echo(f"warning: {warning}")
    typer.echo(_drift_line(report.drift))
    docs = workspace.DATA_DOCS
    typer.echo(f"rules: {docs / 'index.html'}   worst rows: {docs / 'worst.html'}   data digest: {report.data_digest}")


def broken_rules(rules: Iterable[Mapping[str, Any]], width: int | None) -> str:
    """A row a rule: how many broke it and were moved to quarantine by it, what to do, and the first of them.

    Rows are wrapped at `width` columns, None: those of the terminal.
    """
    rows = (
        (rule["rule"], rule["kind"], rule["failed"], rule["quarantined"], rule["action"], *map(told, rule["first"][:1]))
        for rule in rules
    )
    return _table(("rule", "kind", "failed", "moved", "do", "first"), rows, width)


def _asks_for_action(rule: Mapping[str, Any]) -> bool:
    """Whether it found what no rule before it had found: a face that is broken once is told once."""
    return bool(rule["quarantined"] or (rule["failed"] and rule["kind"] not in ("row", "aside")))


def _faces(report: ValidationReport, width: int | None) -> str:
    """Sound faces by source and split."""
    rows = (
        (source, split, part["faces"], part["points"], part["points19"], sum(part["expression"].values()))
        for source, splits in report.counts["valid"].items()
        for split, part in splits.items()
    )
    return _table(("source", "split", "faces", "68 points", "19 points", "expression"), rows, width)


def _table(names: Iterable[str], rows: Iterable[Iterable[Any]], width: int | None) -> str:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _drift_line(drift: Mapping[str, Any]) -> str:
    if drift["reference"] is None:
        return f"drift: no accepted version ({workspace.DATA / drift['file']}) to compare with; see `rmtl data accept`"
    new = f"; not in it: {', '.join(drift['new_parts'])}" if drift["new_parts"] else ""
    return f"drift: {len(drift['compared'])} comparisons with the accepted version {drift['reference']}{new}"
