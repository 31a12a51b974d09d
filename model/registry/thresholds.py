"""What an evaluation must reach whoever is champion: thresholds on the mean, and a gain over the simple model."""

from collections.abc import Iterator, Mapping

from model.config import GateConfig
from model.evaluation.comparison import Difference
from model.schema import EvaluationReport, Measure

ALL = "all"

Name = tuple[str, str, str | None]
"""Task, metric and normaliser of a measure."""

JUDGED: Mapping[Name, str] = {
    ("landmarks", "nme", "inter_ocular"): "nme",
    ("landmarks19", "nme", "box_diagonal"): "nme19",
    ("expression", "macro_f1", None): "macro_f1",
    ("expression", "f1", None): "f1",
}
"""Task, metric and normaliser of the measures that the gate reads, and how it calls them."""

SIMPLE: Mapping[Name, str] = {
    ("landmarks_simple", "nme", "inter_ocular"): "nme",
    ("expression_simple", "macro_f1", None): "macro_f1",
}
"""The same of the simple model."""

Key = tuple[str, str]
"""Metric, as the gate calls it, and subset."""


def judged(report: EvaluationReport, names: Mapping[Name, str] = JUDGED) -> dict[Key, Measure]:
    """The measures that count, of the final answers if not named otherwise, on the split that counts."""
    split = main_split(report)
    values = {}
    for measure in report.measures:
        name = names.get((measure.task, measure.metric, measure.normaliser))
        if name is not None and measure.split == split and measure.value is not None:
            values[name, measure.subset] = measure
    return values


def main_split(report: EvaluationReport) -> str:
    """The split that counts: test, else the only one."""
    splits = {measure.split for measure in report.measures}
    return "test" if "test" in splits else next(iter(splits), "")


def unmet(report: EvaluationReport, config: GateConfig) -> list[str]:
    """A line for each condition that the means over all faces do not meet, with the numbers and the key that asks."""
    values = judged(report)
    return [*_below_thresholds(values, config), *_not_above_simple(values, judged(report, SIMPLE), config)]


def unmeasured(report: EvaluationReport, config: GateConfig) -> list[str]:
    """A line for each gain over the simple model that is asked for, where the evaluation has no such model."""
    values, simple = judged(report), judged(report, SIMPLE)
    return [
        f"{metric}, {ALL}: the evaluation has no simple model for it (no training face with such a label, or made "
        f"before there was one), register.gate.{key} not judged"
        for metric, key, _ in _asked_gains(config)
        if (metric, ALL) in values and (metric, ALL) not in simple
    ]


def shown(measure: Measure) -> str:
    """A value as reasons give it, with its interval where that is known."""
    return f"{measure.value:.2f} %{interval_text(measure)}"


def interval_text(of: Measure | Difference, sign: str = "") -> str:
    """` [low, high]`, or nothing."""
    return "" if of.low is None or of.high is None else f" [{of.low:{sign}.2f}, {of.high:{sign}.2f}]"


def _below_thresholds(values: Mapping[Key, Measure], config: GateConfig) -> Iterator[str]:
    error, score = values.get(("nme", ALL)), values.get(("macro_f1", ALL))
    if config.max_nme is not None:
        if error is None:
            yield _unlabelled("landmark", "nme", "max_nme")
        elif not (error.value or 0.0) <= config.max_nme:
            yield f"nme, {ALL}: {shown(error)} is above register.gate.max_nme = {config.max_nme} %"
    if config.min_macro_f1 is not None:
        if score is None:
            yield _unlabelled("expression", "macro_f1", "min_macro_f1")
        elif not (score.value or 0.0) >= config.min_macro_f1:
            yield f"macro_f1, {ALL}: {shown(score)} is below register.gate.min_macro_f1 = {config.min_macro_f1} %"


def _not_above_simple(
    values: Mapping[Key, Measure], simple: Mapping[Key, Measure], config: GateConfig
) -> Iterator[str]:
    for metric, key, gain in _asked_gains(config):
        own, other = values.get((metric, ALL)), simple.get((metric, ALL))
        if own is None or other is None:
            continue
        value, beaten = own.value or 0.0, other.value or 0.0
        met = value <= beaten * (1 - gain) if metric == "nme" else value >= beaten + min(gain, (100 - beaten) / 2)
        if not met:
            asked = f"{100 * gain:g} % less" if metric == "nme" else f"{gain:g} points more, or half the way to 100"
            yield (
                f"{metric}, {ALL}: {shown(own)} against {shown(other)} of the simple model, "
                f"register.gate.{key} asks for {asked}"
            )


def _asked_gains(config: GateConfig) -> Iterator[tuple[str, str, float]]:
    """Metric, key of the configuration, and the gain over the simple model that it asks for."""
    for metric, key, gain in (
        ("nme", "simple_nme_gain", config.simple_nme_gain),
        ("macro_f1", "simple_f1_gain", config.simple_f1_gain),
    ):
        if gain is not None:
            yield metric, key, gain


def _unlabelled(task: str, metric: str, key: str) -> str:
    return (
        f"{metric}, {ALL}: not measured, no evaluated face has a {task} label (or the net lacks the task); "
        f"evaluate on labelled data, or set register.gate.{key} to null"
    )
