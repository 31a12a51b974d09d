"""A set under judgement: what is kept, what was moved to quarantine, what each rule found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from model.data.manifest import data_digest
from model.data.validate.report import Broken, Quarantined, count_faces, rule_entry
from model.data.validate.rules import Rule, excess_of, reason_of
from model.data.validate.suite import Outcome, Suites
from model.errors import UnsoundSetError
from model.schema import FaceRecord, ValidationReport

_NAMED = 3
_MOVING = ("row", "aside", "stop")


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
        self._broken: dict[str, list[Broken]] = {}
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
            if rule.kind in _MOVING:
                for row, reason in reasons.items():
                    excess = excess_of(rule, values[row])
                    moved.setdefault(row, Quarantined(self.kept[row], rule.name, rule.kind, reason, excess))
            self._broken[rule.name] = [] if passed else self._breakers(rule, reasons)
            if rule.kind not in _MOVING and not passed:
                self._tell(rule)
        self._outcomes += outcomes
        self.moved += [moved[row] for row in sorted(moved)]
        self.kept = [record for row, record in enumerate(self.kept) if row not in moved]

    def _breakers(self, rule: Rule, reasons: Mapping[int, str]) -> list[Broken]:
        if rule.kind in _MOVING and reasons:
            return [Broken(self.kept[row], reason) for row, reason in reasons.items()]
        return [Broken(None, reason) for reason in dict.fromkeys(reasons.values()) or [rule.reason]]

    def _tell(self, rule: Rule) -> None:
        broken = self._broken[rule.name]
        more = f"; and {len(broken) - 1} more" if len(broken) > 1 else ""
        text = f"{rule.name}: {broken[0].reason}{more}"
        (self._alarms if rule.kind == "alarm" else self.warnings).append(text)

    def report(self, counts: Mapping[str, Any], drift: dict[str, Any]) -> ValidationReport:
        """The outcome so far, with `counts` beside its own."""
        moved = Counter(row.rule for row in self.moved)
        return ValidationReport(
            data_digest=data_digest(self.kept),
            rows=self._rows,
            valid=len(self.kept),
            quarantined=len(self.moved),
            rules=[rule_entry(each, self._broken[each.rule.name], moved[each.rule.name]) for each in self._outcomes],
            counts={"valid": count_faces(self.kept), **counts, "quarantine": self._by_rule()},
            warnings=self.warnings,
            drift=drift,
        )

    def stop_if_unsound(self, budget: float, quarantine: Path, report: ValidationReport) -> None:
        """Raise for everything that fails the set as a whole.

        Raises:
            UnsoundSetError: more rows moved by row rules than the budget allows, or a failed rule of kind `stop`.
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
            lines = [f"validation failed; every row is in {quarantine}", *(f"  {line}" for line in failures)]
            raise UnsoundSetError("\n".join(lines), report)

    def _failure(self, outcome: Outcome) -> str:
        name = outcome.rule.name
        mine = [row for row in self.moved if row.rule == name]
        if mine:
            return f"{name}: {len(mine)} rows: {_named(mine)}"
        return f"{name}: {self._broken[name][0].reason}"

    def _by_rule(self) -> dict[str, Any]:
        counts = Counter((row.record.source, row.record.split, row.rule) for row in self.moved)
        table: dict[str, Any] = {}
        for (source, split, rule), count in sorted(counts.items()):
            table.setdefault(source, {}).setdefault(split, {})[rule] = count
        return table


def _named(rows: Sequence[Quarantined]) -> str:
    first = "; ".join(f"{row.record.image} ({row.rule}: {row.reason})" for row in rows[:_NAMED])
    return first + ("; ..." if len(rows) > _NAMED else "")
