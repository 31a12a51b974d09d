"""Measures of an evaluation report in words, and how far two values may lie apart that are printed alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from model.evaluation.evaluate import headline_name
from model.evaluation.slices import ALL
from model.schema import Measure

_TASKS = {
    "landmarks": "68 points",
    "landmarks_base": "68 points, before the exchange",
    "landmarks19": "19 points",
    "expression": "apparent expression",
    "expression_base": "apparent expression, before the exchange",
    "expression_votes": "apparent expression by the majority of votes",
}
_METRICS = {
    "nme": "NME %",
    "fr": "FR",
    "auc": "AUC",
    "accuracy": "accuracy %",
    "mean_class_accuracy": "mean class accuracy %",
    "macro_f1": "macro-F1 %",
    "ece": "calibration error %, as the network says",
    "ece_calibrated": "calibration error %, calibrated",
    "nll": "negative log-likelihood, as the network says",
    "nll_calibrated": "negative log-likelihood, calibrated",
}
_NORMALISERS = {
    "inter_ocular": "inter-ocular",
    "inter_pupil": "inter-pupil",
    "box_diagonal": "diagonal of the box",
    "box_side": "side of the box",
}
_FINE = ("nme", "nll")


class Headline(NamedTuple):
    """A value over all faces: its name in the summary, and in words."""

    name: str
    words: str
    measure: Measure


def headlines(report: Mapping[str, Any]) -> Iterator[Headline]:
    """Every value over all test faces, in the order of the report."""
    for row in report["measures"]:
        measure = Measure(**row)
        if measure.subset == ALL and measure.value is not None and measure.metric in _METRICS:
            task = _TASKS.get(measure.task, measure.task.replace("_", " "))
            yield Headline(f"{measure.split}/{headline_name(measure)}", f"{task}: {_words(measure)}", measure)


def printed(name: str, value: float) -> str:
    """A value with the decimals that its table gives it: two for errors and likelihoods, else one."""
    return f"{value:.{_decimals(name)}f}"


def rounding(name: str) -> float:
    """Half a unit of the last printed digit."""
    return float(0.5 * 10.0 ** -_decimals(name))


def interval(measure: Measure, name: str) -> str:
    """` (low-high)` where there is one."""
    if measure.low is None or measure.high is None:
        return ""
    return f" ({printed(name, measure.low)}-{printed(name, measure.high)})"


def by_subset(report: Mapping[str, Any], task: str, metrics: Sequence[str]) -> dict[str, dict[str, Measure]]:
    """Measures of a task by subset and metric; of several normalisers or thresholds the first."""
    found: dict[str, dict[str, Measure]] = {}
    for row in report["measures"]:
        if row["task"] == task and row["metric"] in metrics:
            found.setdefault(row["subset"], {}).setdefault(row["metric"], Measure(**row))
    return found


def _words(measure: Measure) -> str:
    words = _METRICS[measure.metric]
    if measure.threshold is not None:
        words += f"@{100 * measure.threshold:g} %"
    return words if measure.normaliser is None else f"{words}, {_NORMALISERS[measure.normaliser]}"


def _decimals(name: str) -> int:
    return 2 if name.partition("/")[2].startswith(_FINE) else 1
