"""What the finished runs say, in numbers: a row a method, gains over the single nets, and which one wins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.weightings.plan import TUNE, Plan, Run
from model.search import MACRO_F1, NME

Result = Mapping[str, Any]
BySeed = Mapping[int, Result]

METRICS = {"nme": NME, "macro_f1": MACRO_F1}
"""Names of the metrics on the split of the plan, and on held-out training faces."""

LEVEL = 0.95


def analyse(plan: Plan, tuned: Mapping[Run, Result], full: Mapping[Run, Result]) -> dict[str, Any]:
    """Means over the seeds, and gains over the single nets in percent of their means; positive is better.

    The winner is the method with the largest gain on held-out training faces, of those with all their seeds: the split
    of the plan reports and chooses nothing.
    """
    by_method = {name: _by_seed(full, name) for name in plan.all_methods}
    singles = {metric: by_method[getattr(plan.singles, metric)] for metric in METRICS}
    rows = {
        name: _row(tuned.get(Run(TUNE, 1.0, name, 0)), runs, singles)
        for name, runs in by_method.items()
        if runs or any(run.row == name for run in tuned)
    }
    first = rows.get(plan.budget_of, {}).get("gain")
    for name, row in rows.items():
        if first and "gain" in row and name != plan.budget_of:
            row["better_than_first"] = _difference(row["gain"], first)
    code = {(result["code"]["git"][:10], result["code"]["dirty"]) for result in (*tuned.values(), *full.values())}
    whole = {
        name: row["gain_held_out"]["mean"]
        for name, row in rows.items()
        if "gain_held_out" in row and row["seeds"] == plan.seeds
    }
    return {
        "split": plan.split,
        "seeds": plan.seeds,
        "budget_of": plan.budget_of,
        "code": [f"{revision}{' with changes' if dirty else ''}" for revision, dirty in sorted(code)],
        "winner": max(whole, key=lambda name: whole[name]) if whole else None,
        "rows": rows,
    }


def _row(tuned: Result | None, runs: BySeed, singles: Mapping[str, BySeed]) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(runs)}
    total = 0.0
    if tuned is not None:
        row |= {"trials": len(tuned["trials"]), "tuning_s": tuned["seconds"], "picked": tuned["picked"]["overrides"]}
        total += tuned["seconds"]
    for metric in METRICS:
        values = {seed: run["measured"][metric] for seed, run in runs.items() if metric in run["measured"]}
        if values:
            row[metric] = _spread(values)
    if runs:
        seconds = [run["seconds"] for run in runs.values()]
        row |= {"full_s": round(float(np.mean(seconds)), 1), "total_s": round(total + sum(seconds), 1)}
    if all(singles.values()) and all(metric in row for metric in METRICS):
        row["gain"] = _spread(_gains(runs, singles, "measured", {metric: metric for metric in METRICS}))
        row["gain_held_out"] = _spread(_gains(runs, singles, "held_out", METRICS))
    return row


def _gains(runs: BySeed, singles: Mapping[str, BySeed], part: str, names: Mapping[str, str]) -> dict[int, float]:
    """Mean of the relative gains in both metrics by seed, percent."""
    base = {
        metric: float(np.mean([run[part][name] for run in singles[metric].values()])) for metric, name in names.items()
    }
    return {
        seed: 50 * ((1 - run[part][names["nme"]] / base["nme"]) + (run[part][names["macro_f1"]] / base["macro_f1"] - 1))
        for seed, run in runs.items()
    }


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Mean difference over the seeds that both have, and its interval by Student's t."""
    seeds = sorted(set(one["by_seed"]) & set(other["by_seed"]))
    gaps = [one["by_seed"][seed] - other["by_seed"][seed] for seed in seeds]
    found: dict[str, Any] = {"mean": _mean(gaps), "seeds": len(gaps)}
    if len(gaps) > 1:
        half = stats.t.ppf(0.5 + LEVEL / 2, len(gaps) - 1) * stats.sem(gaps)
        found["interval"] = [round(float(np.mean(gaps) + sign * half), 2) for sign in (-1, 1)]
    return found


def _spread(by_seed: Mapping[int, float]) -> dict[str, Any]:
    values = list(by_seed.values())
    return {
        "mean": round(float(np.mean(values)), 3),
        "sd": round(float(np.std(values, ddof=1)), 3) if len(values) > 1 else None,
        "by_seed": {str(seed): round(value, 3) for seed, value in by_seed.items()},
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 2) if values else None


def _by_seed(full: Mapping[Run, Result], method: str) -> BySeed:
    return {run.seed: full[run] for run in sorted(full, key=lambda run: run.seed) if run.row == method}
