"""What the finished runs say: a row a method, the trials of all methods in one picture, importances of the search."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.trial import create_trial

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

Result = Mapping[str, Any]

_METRICS = ("nme", "macro_f1")
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
        for name, png in _pictures(plan, tuned):
            (folder / f"{name}.png").write_bytes(png)
    return report


def analyse(plan: Plan, tuned: Mapping[Run, Result], full: Mapping[Run, Result]) -> dict[str, Any]:
    """Means over the seeds, and gains over the single nets in percent of their means; positive is better."""
    by_method = {
        method: [full[run] for run in full if run.row == method] for method in plan.all_methods if _has(full, method)
    }
    singles = {
        metric: _mean(by_method.get(getattr(plan.singles, metric), ()), metric)
        for metric in _METRICS
        if getattr(plan.singles, metric) in by_method
    }
    rows = {
        method: _row(tuned.get(Run(TUNE, 1.0, method, 0)), by_method.get(method, []), singles)
        for method in plan.all_methods
        if _has(tuned, method) or method in by_method
    }
    code = {(result["code"]["git"][:10], result["code"]["dirty"]) for result in (*tuned.values(), *full.values())}
    best = {name: row["gain"] for name, row in rows.items() if name in plan.methods and row.get("gain") is not None}
    return {
        "split": plan.split,
        "seeds": plan.seeds,
        "budget_of": plan.budget_of,
        "code": [f"{revision}{' with changes' if dirty else ''}" for revision, dirty in sorted(code)],
        "winner": max(best, key=lambda name: best[name]) if best else None,
        "rows": rows,
    }


def tables(report: Mapping[str, Any]) -> Iterable[str]:
    """The report as Markdown."""
    heads = ["method", "seeds", "NME %", "macro-F1 %", "gain over single nets %", "trials", "tuning s", "full s"]
    yield markdown(heads, [_cells(name, row) for name, row in report["rows"].items()])
    yield ""
    yield f"Split {report['split']}; mean and standard deviation over the seeds; budget of {report['budget_of']}."
    if report["winner"]:
        yield f"Largest gain: {report['winner']}."


def _row(tuned: Result | None, full: Sequence[Result], singles: Mapping[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(full)}
    if tuned is not None:
        row |= {"trials": len(tuned["trials"]), "tuning_s": tuned["seconds"], "picked": tuned["picked"]["overrides"]}
    for metric in _METRICS:
        values = [result["measured"][metric] for result in full if metric in result["measured"]]
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            row[metric] = {
                "mean": round(float(np.mean(values)), 3),
                "sd": spread and round(spread, 3),
                "values": values,
            }
    if full:
        row["full_s"] = round(sum(result["seconds"] for result in full) / len(full), 1)
    if len(singles) == len(_METRICS) and all(metric in row for metric in _METRICS):
        nme, f1 = row["nme"]["mean"], row["macro_f1"]["mean"]
        better = (1 - nme / singles["nme"], f1 / singles["macro_f1"] - 1)
        row["gain"] = round(100 * float(np.mean(better)), 2)
    return row


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    values = [_spread(row.get(metric)) for metric in _METRICS]
    plain = [row.get(key) for key in ("gain", "trials", "tuning_s", "full_s")]
    return [name, str(row["seeds"]), *values, *("-" if value is None else f"{value:g}" for value in plain)]


def _spread(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.2f}" + (f" ± {value['sd']:.2f}" if value["sd"] is not None else "")


def _pictures(plan: Plan, tuned: Mapping[Run, Result]) -> Iterable[tuple[str, bytes]]:
    yield "trials", to_png(_draw_trials({run.row: result for run, result in tuned.items()}))
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
    axes.set_xscale("log")
    axes.set_xlabel("val NME (% inter-ocular), cheap trials")
    axes.set_ylabel("val macro-F1 (%)")
    axes.legend(frameon=False, fontsize=8)
    return figure


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


def _has(results: Mapping[Run, Result], method: str) -> bool:
    return any(run.row == method for run in results)


def _mean(results: Sequence[Result], metric: str) -> float:
    return float(np.mean([result["measured"][metric] for result in results]))
