"""The quality gate: a pure function of two evaluations.

Policy. Thresholds apply to the mean over all faces. Against a champion, no loss beyond the tolerance of `register.gate`
is accepted on the mean or on any slice of at least `min_slice` faces, whatever is gained elsewhere. A loss within the
tolerance counts as equal: both nets answer the same faces, so the widths of their separate intervals do not decide.
Two evaluations are compared only if they were made on the same data; else the champion has to be evaluated anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from model.config import GateConfig
from model.schema import EvaluationReport, Measure

ALL = "all"

_JUDGED = {
    ("landmarks", "nme", "inter_ocular"): "nme",
    ("landmarks19", "nme", "box_diagonal"): "nme19",
    ("expression", "macro_f1", None): "macro_f1",
    ("expression", "f1", None): "f1",
}
"""Task, metric and normaliser of the measures that the gate reads, and how it calls them."""


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, with a reason for each failed condition and a note for what was not judged."""

    gate: Literal["pass", "fail"]
    reasons: list[str]
    notes: list[str]


Key = tuple[str, str]
"""Metric, as the gate calls it, and subset."""


def judge(report: EvaluationReport, champion: EvaluationReport | None, config: GateConfig) -> Verdict:
    """Judge a challenger; without a champion only the thresholds count.

    Reasons name metric, slice and both numbers. A task whose threshold is null is not judged on the mean.
    """
    values = _judged(report)
    reasons = list(_below_thresholds(values, config))
    notes: list[str] = []
    if champion is not None and champion.data_digest != report.data_digest:
        reasons.append(
            f"champion was evaluated on data {champion.data_digest}, challenger on {report.data_digest}: not "
            "comparable; evaluate the champion's weights on this data, register that report, then judge again"
        )
    elif champion is not None:
        former = _judged(champion)
        reasons += _losses(values, former, config)
        notes += _small(former, config)
    return Verdict("fail" if reasons else "pass", reasons, notes)


def _judged(report: EvaluationReport) -> dict[Key, Measure]:
    """The measures that count, of the final answers, on the split that counts: test, else the only one."""
    splits = {measure.split for measure in report.measures}
    split = "test" if "test" in splits else next(iter(splits), "")
    values = {}
    for measure in report.measures:
        name = _JUDGED.get((measure.task, measure.metric, measure.normaliser))
        if name is not None and measure.split == split and measure.value is not None:
            values[name, measure.subset] = measure
    return values


def _below_thresholds(values: dict[Key, Measure], config: GateConfig) -> Iterator[str]:
    error, score = values.get(("nme", ALL)), values.get(("macro_f1", ALL))
    if config.max_nme is not None:
        if error is None:
            yield _unlabelled("landmark", "nme", "max_nme")
        elif not (error.value or 0.0) <= config.max_nme:
            yield f"nme, {ALL}: {error.value:.2f} % is above register.gate.max_nme = {config.max_nme} %"
    if config.min_macro_f1 is not None:
        if score is None:
            yield _unlabelled("expression", "macro_f1", "min_macro_f1")
        elif not (score.value or 0.0) >= config.min_macro_f1:
            yield f"macro_f1, {ALL}: {score.value:.2f} % is below register.gate.min_macro_f1 = {config.min_macro_f1} %"


def _unlabelled(task: str, metric: str, key: str) -> str:
    return (
        f"{metric}, {ALL}: not measured, no evaluated face has a {task} label (or the net lacks the task); "
        f"evaluate on labelled data, or set register.gate.{key} to null"
    )


def _losses(values: dict[Key, Measure], former: dict[Key, Measure], config: GateConfig) -> Iterator[str]:
    for key, old in former.items():
        if key[1] != ALL and old.n < config.min_slice:
            continue
        new = values.get(key)
        if new is None:
            yield f"{_name(key)}: champion has {old.value:.2f} %, challenger has no value; evaluate both the same way"
            continue
        before, after = old.value or 0.0, new.value or 0.0
        loss, limit, unit = _loss(key, before, after, config)
        if not loss <= limit:
            yield f"{_name(key)} (n={old.n}): {after:.2f} % against the champion's {before:.2f} %, {unit.format(limit)}"


def _loss(key: Key, before: float, after: float, config: GateConfig) -> tuple[float, float, str]:
    """Loss, largest accepted loss, and how to say the latter: NME relative, F1 in points."""
    mean = key[1] == ALL
    if key[0].startswith("nme"):
        limit = config.max_nme_loss if mean else config.max_slice_nme_loss
        relative = (after - before) / before if before > 0 else after
        return relative, limit, "a relative loss of {:g} is accepted"
    return before - after, config.max_f1_loss if mean else config.max_slice_f1_loss, "a loss of {:g} points is accepted"


def _small(former: dict[Key, Measure], config: GateConfig) -> Iterator[str]:
    for key, old in former.items():
        if key[1] != ALL and old.n < config.min_slice:
            yield f"{_name(key)}: n={old.n} is below register.gate.min_slice = {config.min_slice}, not judged"


def _name(key: Key) -> str:
    return f"{key[0]}, {key[1]}"
