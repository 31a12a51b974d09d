"""Plots, tables and the one self-contained page: no script, no address of another file."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from model.evaluation.figures import Plot, draw_plots, words
from model.evaluation.findings import Findings
from model.evaluation.measures import CONVENTION
from model.evaluation.slices import ALL
from model.evaluation.tables import write_tables
from model.schema import EXPRESSIONS, INTENDED_USE, Measure
from model.storage import atomic_path

_TEMPLATE = Path(__file__).with_name("report.html")
_TASKS = {
    "landmarks": "68 landmarks",
    "landmarks_base": "68 landmarks, before the residual exchange",
    "landmarks_simple": "68 landmarks, by the simple model",
    "landmarks19": "19 landmarks",
    "expression": "Apparent expression",
    "expression_base": "Apparent expression, before the residual exchange",
    "expression_simple": "Apparent expression, by the simple model",
    "expression_votes": "Apparent expression against the majority of FER+ votes",
}
_METRICS = {
    "nme": "NME",
    "fr": "Failure rate",
    "auc": "Area under the cumulative error",
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean class accuracy",
    "macro_f1": "Macro-F1",
    "ece": "Calibration error",
    "ece_calibrated": "Calibration error, calibrated",
    "nll": "Negative log-likelihood",
    "nll_calibrated": "Negative log-likelihood, calibrated",
}
_TILES = (
    ("landmarks", "nme"),
    ("landmarks", "fr"),
    ("landmarks19", "nme"),
    ("expression", "macro_f1"),
    ("expression", "accuracy"),
)
_LOWER_IS_BETTER = ("nme", "fr", "ece", "nll")


def write_report(findings: Findings, reports: Path) -> None:
    """Write `plots/` (PNG and CSV) and `evaluation.html` under `reports`, each as one."""
    plots = draw_plots(findings)
    with atomic_path(reports / "plots") as folder:
        folder.mkdir()
        for plot in plots.values():
            (folder / f"{plot.name}.png").write_bytes(plot.png)
        write_tables(findings, folder)
    with atomic_path(reports / "evaluation.html") as temporary:
        temporary.write_text(render(findings, plots), encoding="utf-8")


def render(findings: Findings, plots: Mapping[str, Plot]) -> str:
    """The page as HTML; everything that comes from data is escaped."""
    report, meta = findings.report, findings.meta
    facts = {
        "Weights": report.weights_digest[:16],
        "Data": report.data_digest,
        "Trained on data": meta.data_digest,
        "Network": f"{meta.net.size}, {meta.net.input_size} px, residual {meta.net.residual.kind}",
        "Mirrored answers": "averaged" if meta.net.mirror else "not used",
        "Intervals": f"{100 * findings.config.interval:g} %, {findings.config.bootstrap} resamples",
    }
    if "expression" in meta.net.tasks:
        facts["Temperature"] = f"{meta.temperature:.3f}"
    sources = sorted({record.source for record in findings.records})
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title="Landmarks and apparent expression: evaluation",
        subtitle=escape(f"{len(findings.records):,} faces of split {findings.config.split} from {', '.join(sources)}"),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()),
        warnings="".join(f'<div class="note warn"><p>{escape(text)}</p></div>' for text in findings.warnings),
        intended_use=INTENDED_USE,
        tiles="".join(_tiles(report.measures)),
        sections="\n".join(_sections(findings, plots)),
        footer=_reading(findings),
    )


def _sections(findings: Findings, plots: Mapping[str, Plot]) -> Iterable[str]:
    measures = findings.report.measures
    yield f'<h2>Headline values</h2><div class="card">{_headline_table(measures)}</div>'
    for title, names in (
        ("Landmarks", ("ced", "nme_histogram")),
        ("Apparent expression", ("confusion", "reliability")),
        ("Slices", ("slices_nme", "slices_f1")),
        ("Faces", ("faces",)),
    ):
        present = [plots[name] for name in names if name in plots]
        if present:
            yield f'<h2>{title}</h2><div class="figures">{"".join(map(_figure, present))}</div>'
        if title == "Apparent expression" and any(row.metric == "f1" for row in measures):
            yield f'<div class="card">{_class_table(measures)}</div>'
        if title == "Slices":
            yield f'<div class="card">{_slice_table(findings)}</div>'


def _tiles(measures: Sequence[Measure]) -> Iterable[str]:
    for task, metric in _TILES:
        row = next((row for row in measures if (row.task, row.metric, row.subset) == (task, metric, ALL)), None)
        if row is not None and row.value is not None:
            yield (
                f'<div class="tile"><span class="name">{_metric_name(row)}</span>'
                f"<b>{row.value:.2f}<small>%</small></b>"
                f"<span>{_range(row)}, n = {row.n:,}</span><span>{_note(row)}</span></div>"
            )


def _task_name(task: str) -> str:
    if task.startswith(CONVENTION):
        return f"Apparent expression as {escape(task.removeprefix(CONVENTION))} names it"
    return _TASKS[task]


def _headline_table(measures: Sequence[Measure]) -> str:
    lines, task = [], ""
    for row in measures:
        if row.subset != ALL:
            continue
        if row.task != task:
            task = row.task
            lines.append(f'<tr class="group"><td colspan="6">{_task_name(task)}</td></tr>')
        cells = [
            f"<td>{_METRICS[row.metric]}</td>",
            f'<td class="num">{_value(row.value)}</td>',
            f'<td class="range">{_range(row)}</td>',
            f'<td class="num">{row.n:,}</td>',
            f"<td>{words(row.normaliser) if row.normaliser else ''}</td>",
            f'<td class="num">{_threshold(row)}</td>',
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _table(("Metric", "Value", "Interval", "n", "Normaliser", "Threshold"), lines, numeric=(1, 3, 5))


def _class_table(measures: Sequence[Measure]) -> str:
    found = {(row.metric, row.subset): row for row in measures if row.task == "expression"}
    lines = []
    for name in EXPRESSIONS:
        rows = [found[metric, f"class={name}"] for metric in ("precision", "recall", "f1")]
        values = "".join(f'<td class="num">{_value(row.value)}</td>' for row in rows)
        tail = f'<td class="range">{_range(rows[-1])}</td><td class="num">{rows[0].n:,}</td>'
        lines.append(f"<tr><td>{name}</td>{values}{tail}</tr>")
    return _table(("Class", "Precision", "Recall", "F1", "Interval of F1", "n"), lines, numeric=(1, 2, 3, 5))


def _slice_table(findings: Findings) -> str:
    main = findings.main_errors()
    columns: list[_SliceColumn] = []
    if main is not None:
        kind = main[0]
        task = "landmarks" if kind == "inter_ocular" else "landmarks19"
        failures = f"Failures at {100 * findings.config.thresholds[0]:g} %"
        columns += [_SliceColumn(f"NME ({words(kind)})", task, "nme", kind), _SliceColumn(failures, task, "fr", kind)]
    columns += [_SliceColumn(_METRICS[metric], "expression", metric, None) for metric in ("macro_f1", "accuracy")]
    found: list[dict[str, Measure]] = []
    for column in columns:
        rows = findings.measures(column.task, column.metric, column.normaliser)
        # Of several thresholds the first is shown, as in the tiles.
        found.append({row.subset: row for row in reversed(rows)})
    lines = []
    for name in findings.slices:
        if any(name in rows for rows in found):
            cells = "".join(_pair(rows.get(name), first=place % 2 == 0) for place, rows in enumerate(found))
            lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    heads = ["Slice"]
    for first, second in zip(columns[::2], columns[1::2], strict=True):
        heads += [first.head, "Interval", second.head, "n"]
    return _table(heads, lines, numeric=[place for place in range(1, len(heads)) if place % 4 != 2])


class _SliceColumn(NamedTuple):
    head: str
    task: str
    metric: str
    normaliser: str | None


def _pair(row: Measure | None, *, first: bool) -> str:
    """The first column of a pair has its interval beside it, the second the number of faces of both."""
    if row is None:
        return '<td class="num"></td><td></td>'
    beside = f'<td class="range">{_range(row)}</td>' if first else f'<td class="num">{row.n:,}</td>'
    return f'<td class="num">{_value(row.value)}</td>{beside}'


def _table(heads: Sequence[str], lines: Sequence[str], *, numeric: Sequence[int]) -> str:
    cells = (f"<th{' class=num' if place in numeric else ''}>{head}</th>" for place, head in enumerate(heads))
    return f"<table><thead><tr>{''.join(cells)}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _figure(plot: Plot) -> str:
    content = base64.b64encode(plot.png).decode()
    return (
        f'<figure><h3>{plot.title}</h3><img alt="{plot.title}" src="data:image/png;base64,{content}">'
        f"<figcaption>{plot.caption}</figcaption></figure>"
    )


def _metric_name(row: Measure) -> str:
    return _METRICS[row.metric] + (f" at {_threshold(row)}" if row.threshold is not None else "")


def _note(row: Measure) -> str:
    direction = "lower is better" if row.metric in _LOWER_IS_BETTER else "higher is better"
    return f"{words(row.normaliser)}, {direction}" if row.normaliser else direction


def _threshold(row: Measure) -> str:
    return "" if row.threshold is None else f"{100 * row.threshold:g} %"


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _range(row: Measure) -> str:
    return "" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}"


def _reading(findings: Findings) -> str:
    hidden = "Of the 19 points only the visible ones are scored." if findings.config.visible_only else ""
    return (
        "<p>All values are percentages, negative log-likelihoods are in nats. NME: mean over points of the distance to "
        "the label, over the normaliser, averaged over faces. Faces are cut by their labelled box (the tight one of "
        "their points, that of the benchmark, or the whole picture), as the literature does; with a found box errors "
        "are larger. The simple model is linear on crops of 24 grey pixels a side, fitted on at most 1,000 training "
        "faces a task. Failure rate: share of faces with an error above the threshold. Averages over classes are over "
        "the classes that have a labelled face. Calibration error: 15 bins of equal width. Pose without a known yaw is "
        "a rough estimate from the points. Intervals are percentiles of a bootstrap that draws whole persons or photos "
        f"where they are known. {hidden}</p>"
    )
