"""Effects with their intervals, and gain against the share of the labels; without pyplot's global state."""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.method.plan import METRICS
from model.evaluation.plots import ACCENT, INK, MUTED, WARM, dress

_LABELS = {"nme": "NME, % lower", "macro_f1": "macro-F1, points higher"}
_COLOURS = (ACCENT, WARM, "#0d9488", "#9333ea", "#ca8a04")
_DPI = 144


def draw_effects(report: Mapping[str, Any], name: str) -> Figure:
    """Gain of the full row: the contrasts above, every other row below; dashed is the smallest effect that counts."""
    entries = list(_entries(report, name))
    figure, panels = _panels(1.2 + 0.26 * len(entries))
    for axes, metric in zip(panels, METRICS, strict=True):
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.axvline(report["smallest_effect"][metric], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for place, (_, gains, colour) in enumerate(entries):
            item = gains.get(metric)
            if item is not None:
                ends = _ends(item)
                axes.plot(ends, [place] * 2, color=colour, linewidth=2.2, alpha=0.4, solid_capstyle="round")
                axes.plot([item["value"]], [place], "o", color=colour, markersize=5)
        axes.set_ylim(len(entries) - 0.4, -0.6)
        axes.set_yticks(range(len(entries)), [label for label, _, _ in entries], fontsize=7.5)
        axes.set_xlabel(f"{_LABELS[metric]} for {report['full']}")
        axes.grid(axis="y", visible=False)
    panels[1].tick_params(labelleft=False)
    return figure


def _ends(item: Mapping[str, Any]) -> tuple[float, float]:
    """Of the interval, which the gain of one pair does not have."""
    return (item["value"],) * 2 if item["low"] is None else (item["low"], item["high"])


def draw_fractions(curves: Mapping[str, Any], baseline: str) -> Figure:
    """Gain over the baseline of each row against the percent of the training labels, which falls to the right."""
    figure, panels = _panels(3.4)
    for axes, metric in zip(panels, METRICS, strict=True):
        axes.axhline(0, color=INK, linewidth=0.9)
        shares: set[float] = set()
        for place, (row, metrics) in enumerate(curves.items()):
            # Rows stand a little apart, so that their intervals do not cover each other.
            x = [float(share) * 1.05 ** (place - len(curves) / 2) for share in metrics[metric]]
            items = list(metrics[metric].values())
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(x, [item["value"] for item in items], "o-", color=colour, linewidth=1.6, markersize=4, label=row)
            axes.vlines(x, *zip(*map(_ends, items), strict=True), color=colour, alpha=0.5)
            shares |= {float(share) for share in metrics[metric]}
        axes.set_xscale("log")
        axes.set_xticks(sorted(shares), [f"{share:g}" for share in sorted(shares)])
        axes.minorticks_off()
        axes.invert_xaxis()
        axes.set(xlabel="training labels, %", ylabel=f"{_LABELS[metric]} than {baseline}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _entries(report: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    values = report["sets"][name]
    grouped: dict[str, dict[str, Any]] = {}
    for item in values["contrasts"]:
        grouped.setdefault(item["contrast"], {})
        if item["pairs"]:
            grouped[item["contrast"]][item["metric"]] = item
    yield from ((label, gains, ACCENT) for label, gains in grouped.items())
    planned = {item["other"] for item in values["contrasts"]}
    yield from ((row, gains, MUTED) for row, gains in values["full_against"].items() if row not in planned)


def _panels(height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9.0, height), dpi=_DPI, layout="constrained", facecolor="white")
    panels = [figure.add_subplot(1, 2, place) for place in (1, 2)]
    for axes in panels:
        dress(axes)
    return figure, panels
