"""The pictures of a report, drawn without pyplot so that no global state is touched."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model.evaluation.landmarks import cumulative_errors
from model.schema import EXPRESSIONS, Measure

Array = npt.NDArray[np.float64]

INK, MUTED, GRID, ACCENT, WARM = "#1c2733", "#64748b", "#e6eaf0", "#2563eb", "#e8590c"
_CURVES = (ACCENT, WARM, "#0d9488", "#9333ea", "#ca8a04", "#db2777", "#475569", "#65a30d")
FACES_IN_BIN = 5
"""Bins with fewer faces are not drawn in the reliability diagram: their accuracy says nothing."""

_DPI = 144


def to_png(figure: Figure) -> bytes:
    """The same bytes for the same figure: no time, no version inside."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=figure.dpi, metadata={"Software": None})
    return stream.getvalue()


def draw_ced(curves: Mapping[str, Array], thresholds: Sequence[float]) -> Figure:
    """Cumulative error distribution of each named set of errors (fractions), with the thresholds marked."""
    figure, axes = _panel(5.6, 3.9)
    # Wider where most faces fail, so that the curve of a poor network is still seen.
    limit = max(125 * max(thresholds), *(150 * float(np.nanmedian(errors_N)) for errors_N in curves.values()))
    for colour, (name, errors_N) in zip(_cycle(len(curves)), curves.items(), strict=True):
        values, shares = cumulative_errors(errors_N)
        x = np.concatenate([[0.0], 100 * values, [max(limit, 100 * values[-1])]])
        y = 100 * np.concatenate([[0.0], shares, [1.0]])
        number = int((~np.isnan(errors_N)).sum())
        axes.step(x, y, where="post", color=colour, linewidth=1.8, label=f"{name} (n={number})")
    for threshold in thresholds:
        axes.axvline(100 * threshold, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, limit), ylim=(0, 102), xlabel="error, % of the normaliser", ylabel="faces at or below, %")
    axes.legend(frameon=True, framealpha=0.92, edgecolor="none", fontsize=8, loc="lower right", labelcolor=INK)
    return figure


def draw_histogram(errors_N: Array, failure: float) -> Figure:
    """Faces by error; what lies beyond the last bin is counted in it, so that no failure is out of sight."""
    figure, axes = _panel(5.6, 3.9)
    percent = 100 * errors_N[~np.isnan(errors_N)]
    median = float(np.median(percent))
    limit = max(250 * failure, 2 * median)
    axes.hist(np.minimum(percent, limit), bins=np.linspace(0, limit, 51).tolist(), color=ACCENT, alpha=0.85)
    axes.axvline(median, color=INK, linewidth=1.2)
    axes.annotate(
        f"median {median:.2f} %",
        (median, 1.0),
        (5, -8),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        color=INK,
        fontsize=8,
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
    )
    axes.axvline(100 * failure, color=WARM, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, limit), xlabel="error, % of the normaliser (last bin: and above)", ylabel="faces")
    axes.margins(y=0.12)
    return figure


def draw_confusion(counts_EE: npt.NDArray[np.int64]) -> Figure:
    """Rows are the truth, each shaded by the share of its faces; numbers are shares in percent over counts."""
    figure, axes = _panel(5.6, 5.2)
    share_EE = counts_EE / np.maximum(counts_EE.sum(axis=1, keepdims=True), 1)
    axes.imshow(share_EE, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts_EE.shape):
        colour = "white" if share_EE[row, column] > 0.55 else (INK if counts_EE[row, column] else "#b6c0cc")
        text = f"{100 * share_EE[row, column]:.0f}\n"
        axes.text(column, row + 0.10, text, ha="center", va="center", color=colour, fontsize=10)
        axes.text(column, row + 0.20, str(counts_EE[row, column]), ha="center", va="center", color=colour, fontsize=6.5)
    axes.set_xticks(range(len(EXPRESSIONS)), EXPRESSIONS, rotation=30, ha="right")
    axes.set_yticks(range(len(EXPRESSIONS)), EXPRESSIONS)
    axes.set(xlabel="predicted", ylabel="labelled")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return figure


def draw_reliability(sets: Mapping[str, Array]) -> Figure:
    """Accuracy over mean confidence in each bin, from sums (3, bins) of `confidence_bins`; dots grow with the faces."""
    figure, axes = _panel(5.6, 5.2)
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="perfect")
    for colour, (name, totals_3B) in zip((WARM, ACCENT), sets.items(), strict=False):
        number, confidence, right = totals_3B[:, totals_3B[0] >= FACES_IN_BIN]
        x, y = 100 * confidence / number, 100 * right / number
        axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.6, label=name)
        axes.scatter(x, y, s=14 + 420 * number / totals_3B[0].sum(), color=colour, linewidth=0, clip_on=False, zorder=3)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="accuracy, %")
    axes.legend(frameon=False, fontsize=8, loc="upper left", labelcolor=INK)
    return figure


def draw_slices(rows: Sequence[Measure], label: str) -> Figure:
    """A dot with its interval for each slice, beside a line at the value of the first row (all faces)."""
    figure, axes = _panel(5.6, 1.0 + 0.235 * len(rows))
    for place, row in enumerate(rows):
        value = row.value or 0.0
        colour = INK if place == 0 else ACCENT
        low, high = (value if end is None else end for end in (row.low, row.high))
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2, alpha=0.35, solid_capstyle="round")
        axes.plot([value], [place], "o", color=colour, markersize=5)
    if rows and rows[0].value is not None:
        axes.axvline(rows[0].value, color=INK, linewidth=0.8, alpha=0.5)
    axes.set_yticks(range(len(rows)), [f"{row.subset}  (n={row.n})" for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    return figure


def draw_curves(values: Mapping[str, Sequence[float]], label: str) -> Figure:
    """A line a name over the epochs, counted from 1; an epoch without a value (NaN) leaves a gap."""
    figure, axes = _panel(5.6, 3.4)
    for colour, (name, curve) in zip(_cycle(len(values)), values.items(), strict=True):
        axes.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=1.8, marker="o", markersize=3, label=name)
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=True, framealpha=0.92, edgecolor="none", fontsize=8, labelcolor=INK)
    return figure


def _panel(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    dress(axes)
    return figure, axes


def dress(axes: Axes) -> None:
    """The look of every panel: a light grid behind, two spines, muted ticks."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#c3cbd6")
    axes.tick_params(colors=MUTED, labelsize=8, width=0.8)
    axes.xaxis.label.set(color=INK, fontsize=9)
    axes.yaxis.label.set(color=INK, fontsize=9)


def _cycle(number: int) -> list[str]:
    return [_CURVES[place % len(_CURVES)] for place in range(number)]
