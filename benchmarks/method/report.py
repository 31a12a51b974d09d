"""Writes what the results say: ablation.json, tables for people, and plots."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.method.analysis import analyse
from benchmarks.method.plan import METRICS, Study
from benchmarks.method.plots import draw_effects, draw_fractions
from benchmarks.method.results import Results
from model.evaluation.plots import to_png
from model.storage import atomic_path, write_json

TITLES = {"nme": "NME", "macro_f1": "macro-F1"}
UNITS = {"nme": "%", "macro_f1": "points"}
_INSIDE = {
    "residual/g": "g",
    "residual/h": "h",
    "residual/r_l": "r_l",
    "residual/r_e": "r_e",
    "assoc/macro_f1": "map macro-F1 %",
    "train/q_confident": "share w > 0.3",
}


def write_report(study: Study, *, results: Path, out: Path) -> dict[str, Any]:
    """Compare the finished runs and write `ablation.json`, `ablation.md` and `plots/ablation-*.png` under `out`.

    Raises:
        DataContractError: no run is done, or one does not fit its data set's faces.
    """
    report = analyse(study, Results(study, results))
    write_json(out / "ablation.json", report)
    with atomic_path(out / "ablation.md") as path:
        path.write_text("\n".join(_page(report)) + "\n")
    for name, values in report["sets"].items():
        figures = {f"ablation-effects-{name}": draw_effects(report, name)}
        if values["fractions"]:
            figures[f"ablation-fractions-{name}"] = draw_fractions(values["fractions"], report["baseline"])
        for stem, figure in figures.items():
            with atomic_path(out / "plots" / f"{stem}.png") as path:
                path.write_bytes(to_png(figure))
    return report


def _page(report: Mapping[str, Any]) -> Iterator[str]:
    for name, values in report["sets"].items():
        yield f"### `{name}`: {values['faces']:,} test faces of {values['subjects']:,} subjects"
        for part in (_rows, _contrasts, _controls, _donors, _inside, _levels, _gains, _full_gains):
            table = list(part(report, values))
            if table:
                yield ""
                yield from table
        yield ""
    yield from (f"- {warning}" for warning in report["warnings"])


def _rows(report: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    yield _head(
        *("row", "seeds", "NME %", "macro-F1 %", "accuracy %", "FR@8 %", "AUC@8 %", "ECE %"),
        *("parameters", "multiply-adds", f"over {report['baseline']}"),
    )
    for row, item in values["rows"].items():
        yield _line(
            row,
            item["seeds"],
            *(_interval(item.get(metric)) for metric in METRICS),
            *(_number(item.get(name)) for name in ("accuracy", "fr_8", "auc_8", "ece")),
            f"{item['parameters']:,}",
            f"{item['multiply_adds'] / 1e6:.2f} M",
            _signed(item.get("multiply_adds_over_baseline"), " %", digits=1),
        )


def _contrasts(report: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    yield _head(f"{report['full']} against", "metric", "pairs", "gain", "p", "p (Holm)", "verdict")
    for item in values["contrasts"]:
        yield _line(
            item["contrast"],
            TITLES[item["metric"]],
            item["pairs"],
            _gain(item if item["pairs"] else None, item["metric"]),
            *(_p(item.get(name)) for name in ("p", "p_holm")),
            item["verdict"] if item.get("complete", True) else f"so far: {item['verdict']}",
        )


def _controls(report: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Exploratory: intervals without correction."""
    first, second = (f"{report['full']} over it", f"it over {report['baseline']}")
    yield _head("row", "pairs", *(f"{title}, {what}" for what in (first, second) for title in TITLES.values()))
    for row in values["rows"]:
        full, own = (values[name].get(row, {}) for name in ("full_against", "against_baseline"))
        pairs = {item["pairs"] for item in [*full.values(), *own.values()]}
        if pairs:
            cells = [_gain(found.get(metric), metric) for found in (full, own) for metric in METRICS]
            yield _line(row, "/".join(map(str, sorted(pairs))), *cells)


def _donors(_: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    if not values["donors"]:
        return
    yield _head(
        "row", "metric", "seeds", "final over base", "over base with another face's donor", "(intervals over seeds)"
    )
    for row, metrics in values["donors"].items():
        for metric, item in metrics.items():
            own, permuted = (_gain(item[kind], metric) for kind in ("final", "permuted"))
            yield _line(row, TITLES[metric], item["seeds"], own, permuted, item["verdict"])


def _inside(_: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    known = {row: item["inside"] for row, item in values["rows"].items()}
    shown = [name for name in _INSIDE if any(name in item for item in known.values())]
    if not shown:
        return
    yield _head("row, last epoch: size of a residual over what it is added to", *(_INSIDE[name] for name in shown))
    for row, item in known.items():
        if any(name in item for name in shown):
            yield _line(row, *(_number(item.get(name), digits=3) for name in shown))


def _levels(_: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    return _by_share(values["levels"], "row", lambda item, _: _interval(item))


def _gains(report: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    return _by_share(values["fractions"], f"gain over {report['baseline']}", partial(_gain, pairs=True))


def _full_gains(report: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    return _by_share(values["fractions_full"], f"{report['full']} over", partial(_gain, pairs=True))


def _by_share(curves: Mapping[str, Any], first: str, shown: Callable[[Any, str], str]) -> Iterator[str]:
    """A table of rows and metrics with a column for each percentage of the labels."""
    shares = sorted({share for row in curves.values() for item in row.values() for share in item}, key=float)[::-1]
    if not shares:
        return
    yield _head(first, "metric", *(f"{share} % of the labels" for share in shares))
    for row, metrics in curves.items():
        for metric, item in metrics.items():
            yield _line(row, TITLES[metric], *(shown(item.get(share), metric) for share in shares))


def _head(*names: str) -> str:
    return f"{_line(*names)}\n{_line(*['---'] * len(names))}"


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _interval(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "-"
    ends = "one seed" if item["low"] is None else f"{item['low']:.2f} to {item['high']:.2f}"
    return f"{item['value']:.2f} ({ends})"


def _gain(item: Mapping[str, Any] | None, metric: str, *, pairs: bool = False) -> str:
    if item is None:
        return "-"
    ends = "one pair" if item["low"] is None else f"{item['low']:+z.2f} to {item['high']:+z.2f}"
    number = f", n {item['pairs']}" if pairs else ""
    return f"{item['value']:+z.2f} {UNITS[metric]} ({ends}{number})"


def _number(value: float | None, *, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, unit: str, *, digits: int = 2) -> str:
    return "-" if value is None else f"{value:+z.{digits}f}{unit}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
