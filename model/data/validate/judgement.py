"""A set under judgement: what is kept, what was moved to quarantine, what each rule found."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from model.data.manifest import data_digest
from model.data.validate.report import Quarantined, count_faces, rule_entry
from model.data.validate.rules import Rule, excess_of, reason_of
from model.data.validate.suite import Outcome, Suites
from model.errors import DataContractError
from model.schema import SPLITS, FaceRecord, ValidationReport

_NAMED = 3


class Judgement:
    """Applies suites one after another to the rows that are left.

    Attributes:
        kept: rows that broke no rule so far, in the order of the manifest.
        moved: rows for the quarantine, with the first rule that each broke.
        warnings: sentences for the report.
    """

    def __init__(self, records: list[FaceRecord], suites: Suites) -> None:
        self.kept = list(records)
        self.moved: list[Quarantined] = []
        self.warnings: list[str] = []
        self._rows = len(records)
        self._suites = suites
        self._outcomes: list[Outcome] = []
        self._alarms: list[str] = []

    def apply(self, name: str, table: pd.DataFrame, rules: Sequence[Rule]) -> None:
        """Judge the kept rows, whose positions are the column `row` of the table, as suite `name`.

        Rules of kind `warning` and `alarm` move no row: their table may be about anything.
        """
        outcomes = self._suites.run(name, table, rules) if rules else []
        moved: dict[int, Quarantined] = {}
        for rule, passed, _, rows in outcomes:
            values = {row: {str(name): value for name, value in table.iloc[row].items()} for row in rows}
            reasons = {row: reason_of(rule, values[row]) for row in rows}
            if rule.kind in ("warning", "alarm") and not passed:
                self._tell(rule, list(dict.fromkeys(reasons.values())) or [rule.reason])
            elif rule.kind not in ("warning", "alarm"):
                for row, reason in reasons.items():
                    excess = excess_of(rule, values[row])
                    moved.setdefault(row, Quarantined(self.kept[row], rule.name, rule.kind, reason, excess))
        self._outcomes += outcomes
        self.moved += [moved[row] for row in sorted(moved)]
        self.kept = [record for row, record in enumerate(self.kept) if row not in moved]

    def _tell(self, rule: Rule, reasons: Sequence[str]) -> None:
        more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        text = f"{rule.name}: {reasons[0]}{more}"
        (self._alarms if rule.kind == "alarm" else self.warnings).append(text)

    def report(self, outside: dict[str, int], drift: dict[str, Any]) -> ValidationReport:
        """The outcome so far; `outside` counts labels that are none of our seven."""
        return ValidationReport(
            data_digest=data_digest(self.kept),
            rows=self._rows,
            valid=len(self.kept),
            quarantined=len(self.moved),
            rules=[rule_entry(outcome, self.moved) for outcome in self._outcomes],
            counts={"valid": count_faces(self.kept), "labels_outside": outside, "quarantine": self._by_rule()},
            warnings=self.warnings,
            drift=drift,
        )

    def stop_if_unsound(self, budget: float, quarantine: Path) -> None:
        """Raise for everything that fails the set as a whole.

        Raises:
            DataContractError: more rows moved by row rules than the budget allows, or a failed rule of kind `stop`.
        """
        failures = [
            self._failure(outcome) for outcome in self._outcomes if not outcome.passed and outcome.rule.kind == "stop"
        ]
        failures += self._alarms
        bad = [row for row in self.moved if row.kind == "row"]
        if len(bad) > budget * self._rows:
            share = 100 * len(bad) / self._rows
            failures.append(
                f"budget: {len(bad)} of {self._rows} rows are bad ({share:.1f} %, validate.budget is "
                f"{100 * budget:.1f} %): {_named(bad)}"
            )
        if failures:
            raise DataContractError(
                "\n".join([f"validation failed; every row is in {quarantine}", *(f"  {line}" for line in failures)])
            )

    def _failure(self, outcome: Outcome) -> str:
        rule = outcome.rule
        mine = [row for row in self.moved if row.rule == rule.name]
        if mine:
            return f"{rule.name}: {len(mine)} rows: {_named(mine)}"
        empty = [split for split in SPLITS if all(record.split != split for record in self.kept)]
        return f"{rule.name}: {rule.reason}" + (
            f": {', '.join(empty)}; see index.sources and index.holdout" if empty else ""
        )

    def _by_rule(self) -> dict[str, Any]:
        counts = Counter((row.record.source, row.record.split, row.rule) for row in self.moved)
        table: dict[str, Any] = {}
        for (source, split, rule), count in sorted(counts.items()):
            table.setdefault(source, {}).setdefault(split, {})[rule] = count
        return table


def _named(rows: Sequence[Quarantined]) -> str:
    first = "; ".join(f"{row.record.image} ({row.rule}: {row.reason})" for row in rows[:_NAMED])
    return first + ("; ..." if len(rows) > _NAMED else "")
