"""Measures of an evaluation in words and in tables of Markdown, as model cards give them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from model.evaluation.evaluate import headline_name
from model.evaluation.measures import CONVENTION
from model.evaluation.slices import ALL
from model.schema import EXPRESSIONS, Measure

_TASKS = {
    "landmarks": "68 points",
    "landmarks_base": "68 points, before the exchange",
    "landmarks_simple": "68 points, by the simple model",
    "landmarks19": "19 points",
    "expression": "apparent expression",
    "expression_base": "apparent expression, before the exchange",
    "expression_simple": "apparent expression, by the simple model",
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


def headlines(measures: Sequence[Measure]) -> Iterator[Headline]:
    """Every value over all test faces, in the order of the report."""
    for measure in measures:
        if measure.subset == ALL and measure.value is not None and measure.metric in _METRICS:
            task = _TASKS.get(measure.task) or _other_task(measure.task)
            yield Headline(f"{measure.split}/{headline_name(measure)}", f"{task}: {_words(measure)}", measure)


def _other_task(task: str) -> str:
    if task.startswith(CONVENTION):
        return f"apparent expression as {task.removeprefix(CONVENTION)} names it"
    return task.replace("_", " ")


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


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ["---", *["--:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def headline_table(measures: Sequence[Measure]) -> str:
    """Every value over all test faces."""
    rows = [
        [
            item.words,
            f"{printed(item.name, item.measure.value or 0.0)}{interval(item.measure, item.name)}",
            _number(item.measure),
        ]
        for item in headlines(measures)
    ]
    return markdown(["", "value (interval)", "n"], rows)


def class_table(measures: Sequence[Measure]) -> str:
    """Precision, recall and F1 by apparent expression."""
    metrics = ("precision", "recall", "f1")
    found = _by_subset(measures, "expression", metrics)
    rows = []
    for name in EXPRESSIONS:
        known = found.get(f"class={name}", {})
        if known:
            cells = [_cell(known.get(metric)) for metric in metrics]
            rows.append([name, *cells, _number(known.get("recall", next(iter(known.values()))))])
    return markdown(["", "precision %", "recall %", "F1 %", "n"], rows)


def slice_table(measures: Sequence[Measure]) -> str:
    """Error of the points, accuracy and macro-F1 by slice."""
    points = _by_subset(measures, "landmarks", ("nme",))
    classes = _by_subset(measures, "expression", ("accuracy", "macro_f1"))
    rows = []
    for subset in dict.fromkeys([*points, *classes]):
        error, share = points.get(subset, {}).get("nme"), classes.get(subset, {})
        if "=" in subset and (error is not None or share):
            numbers = [_number(row) for row in (error, share.get("accuracy")) if row is not None]
            cells = [_cell(row) for row in (error, share.get("accuracy"), share.get("macro_f1"))]
            rows.append([subset.replace("|", r"\|"), *cells, " / ".join(dict.fromkeys(numbers))])
    return markdown(["", "NME %, inter-ocular", "accuracy %", "macro-F1 %", "n"], rows)


def _by_subset(measures: Sequence[Measure], task: str, metrics: Sequence[str]) -> dict[str, dict[str, Measure]]:
    """Measures of a task by subset and metric; of several normalisers or thresholds the first."""
    found: dict[str, dict[str, Measure]] = {}
    for measure in measures:
        if measure.task == task and measure.metric in metrics:
            found.setdefault(measure.subset, {}).setdefault(measure.metric, measure)
    return found


def _cell(row: Measure | None) -> str:
    if row is None or row.value is None:
        return "-"
    name = f"{row.split}/{row.metric}"
    return f"{printed(name, row.value)}{interval(row, name)}"


def _number(row: Measure) -> str:
    return f"{row.n:,}"


def _words(measure: Measure) -> str:
    words = _METRICS[measure.metric]
    if measure.threshold is not None:
        words += f"@{100 * measure.threshold:g} %"
    return words if measure.normaliser is None else f"{words}, {_NORMALISERS[measure.normaliser]}"


def _decimals(name: str) -> int:
    return 2 if name.partition("/")[2].startswith(_FINE) else 1
