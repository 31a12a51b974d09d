"""Which plots an evaluation has: only those for which there is a label."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from model.evaluation.calibration import confidence_bins, retemper
from model.evaluation.drawn import ANSWER, TRUTH, choose_faces, draw_faces
from model.evaluation.expression import confusion_matrix
from model.evaluation.findings import Findings
from model.evaluation.plots import (
    FACES_IN_BIN,
    draw_ced,
    draw_confusion,
    draw_histogram,
    draw_reliability,
    draw_slices,
    to_png,
)
from model.evaluation.slices import ALL
from model.evaluation.tables import ced_curves
from model.schema import Measure


@dataclass(frozen=True)
class Plot:
    """A drawn plot: file name without suffix, title and caption (HTML) for the page, bytes of a PNG."""

    name: str
    title: str
    caption: str
    png: bytes


def draw_plots(findings: Findings) -> dict[str, Plot]:
    """Plots by name, in the order of the page."""
    plots = [*_landmark_plots(findings), *_expression_plots(findings), *_face_plots(findings)]
    return {plot.name: plot for plot in plots}


def _landmark_plots(findings: Findings) -> list[Plot]:
    main = findings.main_errors()
    if main is None:
        return []
    kind, errors_N = main
    thresholds = findings.config.thresholds
    plots = [
        _plot(
            "ced",
            "Cumulative error",
            f"Share of faces at or below each error. Dashed: thresholds of failure. Normaliser: {words(kind)}.",
            draw_ced(ced_curves(findings), thresholds),
        ),
        _plot(
            "nme_histogram",
            "Error of each face",
            f"Dashed: a face beyond this failed. Normaliser: {words(kind)}.",
            draw_histogram(errors_N, thresholds[0]),
        ),
    ]
    task = "landmarks" if kind == "inter_ocular" else "landmarks19"
    rows = findings.measures(task, "nme", kind)
    caption = f"Mean error with {_level(findings)} intervals; the line is all faces. Lower is better."
    return [*plots, _plot("slices_nme", "Error by slice", caption, draw_slices(rows, "NME, %"))]


def _expression_plots(findings: Findings) -> list[Plot]:
    probabilities_NE, true_N = findings.answers.probabilities_NE, findings.truth.expression_N
    if probabilities_NE is None or not (true_N >= 0).any():
        return []
    before_NE = retemper(probabilities_NE, 1 / findings.meta.temperature)
    sets = {
        "as trained": confidence_bins(before_NE, true_N).sum(axis=0),
        f"calibrated, T = {findings.meta.temperature:.2f}": confidence_bins(probabilities_NE, true_N).sum(axis=0),
    }
    confusion_EE = confusion_matrix(probabilities_NE.argmax(axis=1), true_N)
    rows = findings.measures("expression", "macro_f1")
    classes = [row for row in findings.measures("expression", "f1") if row.value is not None]
    return [
        _plot(
            "confusion",
            "Confusion",
            "Share of each labelled class in percent (a row adds up to 100), faces below it.",
            draw_confusion(confusion_EE),
        ),
        _plot(
            "reliability",
            "Reliability",
            "Accuracy of the faces in each bin of confidence. Bigger dots hold more faces; "
            f"bins of fewer than {FACES_IN_BIN} are left out.",
            draw_reliability(sets),
        ),
        _plot(
            "slices_f1",
            "Macro-F1 by slice, F1 by class",
            f"With {_level(findings)} intervals; the line is all faces. Higher is better.",
            draw_slices([*[row for row in rows if row.subset == ALL], *classes, *_without_all(rows)], "F1, %"),
        ),
    ]


def _face_plots(findings: Findings) -> list[Plot]:
    chosen = choose_faces(findings)
    sheet = draw_faces(findings, chosen)
    if sheet is None:
        return []
    caption = (
        "The best, those around the median, and the worst by error. "
        f'<span class="key" style="background:{TRUTH}"></span>labelled points '
        f'<span class="key" style="background:{ANSWER}"></span>predicted points. '
        "A caption in red: the apparent expression differs from the label."
    )
    return [_plot("faces", "Best, median and worst", caption, sheet)]


def words(name: str) -> str:
    """A normaliser as it is read: `inter-ocular`."""
    return name.replace("box_", "box ").replace("_", "-")


def _plot(name: str, title: str, caption: str, figure: Figure) -> Plot:
    return Plot(name, title, caption, to_png(figure))


def _without_all(rows: list[Measure]) -> list[Measure]:
    return [row for row in rows if row.subset != ALL]


def _level(findings: Findings) -> str:
    return f"{100 * findings.config.interval:g} %"
