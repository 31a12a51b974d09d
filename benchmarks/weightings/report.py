"""Writes what the finished runs say: a table, all methods and all trials by both metrics, importances of the search."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.trial import create_trial

from benchmarks.weightings.analysis import LEVEL, METRICS, Result, analyse
from benchmarks.weightings.plan import FULL, TUNE, Plan, Run, planned_runs
from model.config import SearchConfig
from model.config.search import SearchRange
from model.errors import DataContractError
from model.evaluation.markdown import markdown
from model.evaluation.plots import to_png
from model.search import MACRO_F1, NME
from model.search.plots import draw_importances
from model.search.sampling import space_of
from model.storage import atomic_path, read_json, write_json

_COLOURS = ("#2563eb", "#e8590c", "#0d9488", "#9333ea", "#ca8a04", "#db2777", "#475569", "#65a30d", "#1c2733")


def write_report(plan: Plan, *, results: Path, out: Path) -> dict[str, Any]:
    """Write `weightings.json`, `weightings.md` and `weightings/*.png` below `out`.

    Raises:
        DataContractError: no method is tuned yet, or the runs are not of the same data.
    """
    tuned, full = _read(plan, results, TUNE), _read(plan, results, FULL)
    if not tuned:
        raise DataContractError(f"{results}: no results; `python -m benchmarks.weightings run` makes them")
    digests = {result["data_digest"] for result in (*tuned.values(), *full.values())}
    if len(digests) > 1:
        raise DataContractError(f"{results}: runs on different data ({', '.join(sorted(digests))})")
    report = analyse(plan, tuned, full)
    write_json(out / "weightings.json", report)
    with atomic_path(out / "weightings.md") as temporary:
        temporary.write_text("\n".join(tables(report)) + "\n")
    with atomic_path(out / "weightings") as folder:
        folder.mkdir()
        for name, png in _pictures(plan, tuned, report):
            (folder / f"{name}.png").write_bytes(png)
    return report


def tables(report: Mapping[str, Any]) -> Iterable[str]:
    """The report as Markdown."""
    first, heads = report["budget_of"], ["method", "seeds", "NME %", "macro-F1 %", "gain over single nets %"]
    heads += [f"more than {first} (95 %)", "gain held out %", "trials", "tuning s", "a full run s", "all s"]
    yield markdown(heads, [_cells(name, row) for name, row in report["rows"].items()])
    yield ""
    yield (
        f"Split {report['split']}; mean and standard deviation over the seeds; budget of {first}; "
        f"interval of {100 * LEVEL:g} % over the seeds by Student's t."
    )
    if report["winner"]:
        yield f"Largest gain on held-out training faces: {report['winner']}."


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    values = [_spread(row.get(metric)) for metric in (*METRICS, "gain")]
    values += [_difference(row.get("better_than_first")), _spread(row.get("gain_held_out"))]
    plain = [row.get(key) for key in ("trials", "tuning_s", "full_s", "total_s")]
    return [name, str(row["seeds"]), *values, *("-" if value is None else f"{value:g}" for value in plain)]


def _difference(value: Mapping[str, Any] | None) -> str:
    if value is None or "interval" not in value:
        return "-"
    low, high = value["interval"]
    return f"{value['mean']:.1f} ({low:.1f} to {high:.1f})"


def _spread(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.2f}" + (f" ± {value['sd']:.2f}" if value["sd"] is not None else "")


def _pictures(plan: Plan, tuned: Mapping[Run, Result], report: Mapping[str, Any]) -> Iterable[tuple[str, bytes]]:
    yield "trials", to_png(_draw_trials({run.row: result for run, result in tuned.items()}))
    whole = {name: row for name, row in report["rows"].items() if all(metric in row for metric in METRICS)}
    if whole:
        yield "methods", to_png(_draw_methods(whole, report["split"]))
    for method in ("search", "random"):
        result = tuned.get(Run(TUNE, 1.0, method, 0))
        if result is not None and len(result["trials"]) >= 4:
            study = _rebuild(method, result)
            for metric in (NME, MACRO_F1):
                picture = draw_importances(study, metric)
                yield f"{method}-{picture.name}", picture.png


def _draw_trials(tuned: Mapping[str, Result]) -> Figure:
    """Cheap trials of every method with both metrics; a cross is the picked one."""
    figure = Figure(figsize=(7, 4.8), dpi=144, layout="tight")
    axes = figure.add_subplot()
    for colour, (method, result) in zip(_COLOURS * len(tuned), tuned.items(), strict=False):
        points = [trial for trial in result["trials"] if {NME, MACRO_F1} <= set(trial["values"])]
        if points:
            nme, f1 = ([trial["values"][name] for trial in points] for name in (NME, MACRO_F1))
            axes.scatter(nme, f1, s=18, color=colour, label=method)
            best = result["picked"]["values"]
            axes.scatter(best[NME], best[MACRO_F1], s=90, color=colour, marker="x")
    every = [trial["values"] for result in tuned.values() for trial in result["trials"]]
    _draw_front(axes, [(values[NME], values[MACRO_F1]) for values in every if {NME, MACRO_F1} <= set(values)])
    axes.set_xscale("log")
    axes.set_xlabel("val NME (% inter-ocular), cheap trials")
    axes.set_ylabel("val macro-F1 (%)")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_methods(rows: Mapping[str, Mapping[str, Any]], split: str) -> Figure:
    """Full runs of every method: mean and standard deviation over the seeds."""
    figure = Figure(figsize=(7, 4.8), dpi=144, layout="tight")
    axes = figure.add_subplot()
    for colour, (method, row) in zip(_COLOURS * len(rows), rows.items(), strict=False):
        nme, f1 = row["nme"], row["macro_f1"]
        axes.errorbar(
            nme["mean"], f1["mean"], xerr=nme["sd"], yerr=f1["sd"], color=colour, marker="o", capsize=2, label=method
        )
    _draw_front(axes, [(row["nme"]["mean"], row["macro_f1"]["mean"]) for row in rows.values()])
    axes.set_xlabel(f"{split} NME (% inter-ocular), full runs")
    axes.set_ylabel(f"{split} macro-F1 (%)")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """A step through the points that no other one beats in both metrics."""
    front, best = [], float("-inf")
    for nme, f1 in sorted(points, key=lambda point: (point[0], -point[1])):
        if f1 > best:
            front.append((nme, f1))
            best = f1
    if front:
        nmes, f1s = zip(*front, strict=True)
        axes.step(nmes, f1s, where="post", color="#94a3b8", linewidth=1, zorder=0)


def _rebuild(method: str, result: Result) -> optuna.Study:
    """The study of a method, as far as its result tells of it."""
    ranges = tuple(SearchRange.model_validate(item) for item in result["space"])
    space = space_of(SearchConfig.model_construct(space=ranges))
    study = optuna.create_study(study_name=method, directions=["minimize", "maximize"])
    for trial in result["trials"]:
        if trial["state"] == "complete":
            study.add_trial(
                create_trial(
                    params=trial["params"],
                    distributions=space,
                    values=[trial["values"][NME], trial["values"][MACRO_F1]],
                    user_attrs={"metrics": trial["values"]},
                )
            )
    return study


def _read(plan: Plan, results: Path, stage: str) -> dict[Run, Result]:
    paths = {run: results / f"{run.key}.json" for run in planned_runs(plan, stage)}
    return {run: read_json(path) for run, path in paths.items() if path.exists()}
