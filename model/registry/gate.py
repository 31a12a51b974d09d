"""The quality gate: a pure function of two evaluations, and of their comparison where there is one.

Policy. Thresholds apply to the mean over all faces, and so does what a network must gain over the simple model of its
evaluation; a task on which that was not measured is noted. Against a champion, no loss beyond the tolerance of
`register.gate` is accepted on the mean or on any slice of at least `min_slice` faces, whatever is gained elsewhere; a
loss within the tolerance counts as equal. Both nets answer the same faces, so the widths of their separate intervals
do not decide; the interval of their difference does, face by face: a loss on a slice that it explains by chance (it
holds zero) is noted and not refused. On the mean, where faces are many, and without a comparison, the values alone
decide. Two evaluations are compared only if they were made on the same data; else the champion has to be evaluated
anew.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from model.config import GateConfig
from model.evaluation.comparison import Comparison, Difference
from model.registry.thresholds import (
    ALL,
    JUDGED,
    Key,
    interval_text,
    judged,
    main_split,
    shown,
    unmeasured,
    unmet,
)
from model.schema import EvaluationReport, Measure

Outcome = Literal["ok", "loss", "chance", "small", "missing"]


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, with a reason for each failed condition and a note for what was not judged.

    `compared` holds every pair of values that was looked at, as plain values for the gate's report.
    """

    gate: Literal["pass", "fail"]
    reasons: list[str]
    notes: list[str]
    compared: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Pair:
    """One measure on one slice, before (champion) and after (challenger)."""

    key: Key
    before: Measure
    after: Measure | None
    difference: Difference | None
    outcome: Outcome
    accepted: str


def judge(
    report: EvaluationReport,
    champion: EvaluationReport | None,
    config: GateConfig,
    comparison: Comparison | None = None,
) -> Verdict:
    """Judge a challenger; without a champion only the thresholds count.

    Reasons name metric, slice and both numbers, with intervals where they are known. A task whose threshold is null is
    not judged on the mean. A comparison of other weights or other data than these two evaluations is not used.
    """
    values, reasons = judged(report), unmet(report, config)
    pairs: list[_Pair] = []
    if champion is not None and champion.data_digest != report.data_digest:
        reasons.append(
            f"champion was evaluated on data {champion.data_digest}, challenger on {report.data_digest}: not "
            "comparable; evaluate the champion on this data (`rmtl evaluate --champion`), then register again with "
            "that evaluation (`rmtl register --champion-evaluation artifacts/champion/evaluation.json`)"
        )
    elif champion is not None and main_split(champion) != main_split(report):
        reasons.append(
            f"champion was evaluated on split {main_split(champion)}, challenger on {main_split(report)}: not "
            "comparable; evaluate both on the same split (evaluate.split), then register again"
        )
    elif champion is not None:
        fits = comparison is not None and (
            comparison.weights_digest,
            comparison.champion_digest,
            comparison.data_digest,
        ) == (report.weights_digest, champion.weights_digest, report.data_digest)
        found = _differences(comparison) if comparison is not None and fits else {}
        pairs = [_pair(key, old, values.get(key), found.get(key), config) for key, old in judged(champion).items()]
    reasons += [_loss_text(pair) for pair in pairs if pair.outcome in ("loss", "missing")]
    notes = [
        *unmeasured(report, config),
        *(_note_text(pair, config) for pair in pairs if pair.outcome in ("small", "chance")),
    ]
    return Verdict("fail" if reasons else "pass", reasons, notes, [_row(pair) for pair in pairs])


def _differences(comparison: Comparison) -> dict[Key, Difference]:
    named = ((JUDGED.get((item.task, item.metric, item.normaliser)), item) for item in comparison.differences)
    return {(name, item.subset): item for name, item in named if name is not None}


def _pair(key: Key, before: Measure, after: Measure | None, difference: Difference | None, config: GateConfig) -> _Pair:
    accepted = ""
    outcome: Outcome = "ok"
    if key[1] != ALL and before.n < config.min_slice:
        outcome = "small"
    elif after is None:
        outcome = "missing"
    else:
        loss, limit, unit = _loss(key, before.value or 0.0, after.value or 0.0, config)
        accepted = unit.format(limit)
        if not loss <= limit:
            outcome = "chance" if key[1] != ALL and difference is not None and _holds_zero(difference) else "loss"
    return _Pair(key, before, after, difference, outcome, accepted)


def _loss(key: Key, before: float, after: float, config: GateConfig) -> tuple[float, float, str]:
    """Loss, largest accepted loss, and how to say the latter: NME relative, F1 in points."""
    mean = key[1] == ALL
    if key[0].startswith("nme"):
        limit = config.max_nme_loss if mean else config.max_slice_nme_loss
        relative = (after - before) / before if before > 0 else after
        return relative, limit, "a relative loss of {:g} is accepted"
    return before - after, config.max_f1_loss if mean else config.max_slice_f1_loss, "a loss of {:g} points is accepted"


def _holds_zero(difference: Difference) -> bool:
    return difference.low is not None and difference.high is not None and difference.low <= 0 <= difference.high


def _loss_text(pair: _Pair) -> str:
    name = ", ".join(pair.key)
    if pair.after is None:
        return f"{name}: champion has {shown(pair.before)}, challenger has no value; evaluate both the same way"
    return f"{name} (n={pair.before.n}): {_numbers(pair)}, {pair.accepted}"


def _note_text(pair: _Pair, config: GateConfig) -> str:
    name = ", ".join(pair.key)
    if pair.outcome == "small":
        return f"{name}: n={pair.before.n} is below register.gate.min_slice = {config.min_slice}, not judged"
    return f"{name} (n={pair.before.n}): {_numbers(pair)}: within chance, not refused"


def _numbers(pair: _Pair) -> str:
    text = f"{shown(pair.after)} against the champion's {shown(pair.before)}" if pair.after else ""
    if pair.difference is None:
        return text
    return f"{text}, a difference of {pair.difference.value:+.2f}{interval_text(pair.difference, '+')}"


def _row(pair: _Pair) -> dict[str, Any]:
    metric, subset = pair.key
    row: dict[str, Any] = {"metric": metric, "subset": subset, "n": pair.before.n, "outcome": pair.outcome}
    for name, of in (("challenger", pair.after), ("champion", pair.before), ("difference", pair.difference)):
        row[name] = None if of is None else [of.value, of.low, of.high]
    return row
