"""What the finished runs say: rows, contrasts, controls, mismatched donors, scarce labels; plain values for JSON.

A gain is positive where the first of two rows is better: percent of the other's NME, points of macro-F1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from benchmarks.method.plan import METRICS, Metric, PlannedRun, Study, percent, planned_runs
from benchmarks.method.results import Results
from benchmarks.method.statistics import Estimate, Values, gain_estimate, holm, mean_estimate

BEYOND = "better by more than the smallest effect with interval excluding zero"
BETTER, NONE, WORSE = "better", "no difference shown", "worse"
NOT_RUN = "not run"
FALLS, STAYS = "falls to zero or below", "a gain stays"

_MEANS = ("accuracy", "fr_8", "auc_8", "ece", "ece_calibrated")
_DECIMALS = 5


def analyse(study: Study, results: Results) -> dict[str, Any]:
    """The whole report."""
    return {
        "full": study.full,
        "baseline": study.baseline,
        "smallest_effect": study.smallest_effect.model_dump(),
        "statistics": study.statistics.model_dump(),
        "warnings": find_warnings(results),
        "sets": {name: _analyse_set(study, results, name) for name in results.sets},
    }


def _analyse_set(study: Study, results: Results, data: str) -> dict[str, Any]:
    others = [row for row in results.rows(data) if row != study.full]
    return {
        "faces": len(results.faces(data).label_N),
        "subjects": len(results.faces(data).count_G),
        "rows": {row: describe_row(results, data, row) for row in results.rows(data)},
        "contrasts": contrasts(study, results, data),
        "full_against": {row: gains(results, data, study.full, row) for row in others},
        "against_baseline": {
            row: gains(results, data, row, study.baseline) for row in results.rows(data) if row != study.baseline
        },
        "donors": {row: found for row in results.rows(data) if (found := donors(results, data, row))},
        "fractions": fraction_curves(study, results, data),
        "fractions_full": fraction_gains(study, results, data),
        "levels": fraction_levels(results, data),
    }


def describe_row(results: Results, data: str, row: str) -> dict[str, Any]:
    """Means over the seeds of a row; intervals for the two metrics."""
    runs = results.runs(data, row)
    values: dict[str, Any] = {"seeds": len(runs)}
    values |= {metric: item for metric in METRICS if (item := level(results, data, row, metric)) is not None}
    values |= _means([results.done[run]["test"]["final"] for run in runs], _MEANS)
    first = results.done[runs[0]]
    values |= {name: first[name] for name in ("parameters", "multiply_adds")}
    reference = results.runs(data, results.study.baseline)
    if reference:
        base = results.done[reference[0]]
        for name in ("parameters", "multiply_adds"):
            values[f"{name}_over_baseline"] = _round(100 * (first[name] / base[name] - 1))
    values["seconds"] = _round(float(np.mean([results.done[run]["seconds"]["train"] for run in runs])))
    told = [results.done[run]["last_epoch"] for run in runs]
    values["inside"] = _means(told, sorted({name for item in told for name in item}))
    return values


def level(results: Results, data: str, row: str, metric: Metric, *, fraction: float = 1.0) -> dict[str, Any] | None:
    """Mean of a metric over the seeds of a row; None where it has none."""
    known = [results.values(run, metric) for run in results.runs(data, row, metric, fraction=fraction)]
    if not known:
        return None
    settings = results.study.statistics
    value, low, high, _ = mean_estimate(known, settings.interval, settings.seed)
    return {"value": _round(value), "low": _round(low), "high": _round(high)}


def contrasts(study: Study, results: Results, data: str) -> list[dict[str, Any]]:
    """The confirmatory comparisons with Holm's correction over all of them, also those that are not run yet."""
    planned = [(name, metric, getattr(rows, metric)) for name, rows in study.contrasts.items() for metric in METRICS]
    found = [gain(results, data, study.full, other, metric) for _, metric, other in planned]
    adjusted = holm([1.0 if item is None else item["p"] for item in found])
    table = []
    for (name, metric, other), item, p in zip(planned, found, adjusted, strict=True):
        entry: dict[str, Any] = {"contrast": name, "metric": metric, "other": other}
        if item is None:
            entry |= {"pairs": 0, "verdict": NOT_RUN}
        else:
            smallest = getattr(study.smallest_effect, metric)
            entry |= item | {"p_holm": _round(p)}
            entry["verdict"] = judge(item, p, smallest=smallest, level=study.statistics.holm_level)
            entry["complete"] = item["pairs"] == min(planned_seeds(study, data, row) for row in (study.full, other))
        table.append(entry)
    return table


def planned_seeds(study: Study, data: str, row: str) -> int:
    """Number of seeds that the plan gives to a row on all labels."""
    return sum((run.data, run.fraction, run.row) == (data, 1.0, row) for run in planned_runs(study))


def judge(gain: Mapping[str, Any], p: float, *, smallest: float, level: float) -> str:
    """Verdict on a gain with its interval and its corrected p-value."""
    if p > level or gain["low"] is None or gain["low"] <= 0 <= gain["high"]:
        return NONE
    if gain["value"] < 0:
        return WORSE
    return BEYOND if gain["value"] > smallest else BETTER


def gains(results: Results, data: str, row: str, other: str) -> dict[str, Any]:
    """Uncorrected gains in the metrics that both rows have."""
    found = {metric: gain(results, data, row, other, metric) for metric in METRICS}
    return {metric: item for metric, item in found.items() if item is not None}


def gain(
    results: Results, data: str, row: str, other: str, metric: Metric, *, fraction: float = 1.0
) -> dict[str, Any] | None:
    """Gain of a row over another one over the seeds that both have; None where they share none."""
    runs = (results.runs(data, name, metric, fraction=fraction) for name in (row, other))
    pairs = results.pairs(*runs)
    if not pairs:
        return None
    ones, others = ([results.values(run, metric) for run in runs] for runs in zip(*pairs, strict=True))
    return {**_gain(results.study, ones, others, metric), "pairs": len(pairs)}


def donors(results: Results, data: str, row: str) -> dict[str, Any]:
    """Gain over the base answer of the final one, and of the one with mismatched donors; intervals over seeds alone."""
    runs = [run for run in results.runs(data, row) if "permuted" in results.done[run]["test"]]
    found: dict[str, Any] = {}
    for metric in METRICS if runs else ():
        base = _points(results, runs, "base", metric)
        final, permuted = (
            _gain(results.study, _points(results, runs, kind, metric), base, metric) for kind in ("final", "permuted")
        )
        verdict = STAYS if (permuted["low"] or 0.0) > 0 else FALLS
        found[metric] = {"final": final, "permuted": permuted, "seeds": len(runs), "verdict": verdict}
    return found


def fraction_curves(study: Study, results: Results, data: str) -> dict[str, Any]:
    """Gain over the baseline by row, metric and percent of the labels, of rows that were run on several fractions."""
    rows = [row for row in _rows_of_several(results, data) if row != study.baseline]
    return _by_fraction(
        results, data, rows, lambda row, metric, share: gain(results, data, row, study.baseline, metric, fraction=share)
    )


def fraction_gains(study: Study, results: Results, data: str) -> dict[str, Any]:
    """Gain of the full row over each of the others, likewise."""
    rows = [row for row in _rows_of_several(results, data) if row not in (study.full, study.baseline)]
    return _by_fraction(
        results, data, rows, lambda row, metric, share: gain(results, data, study.full, row, metric, fraction=share)
    )


def fraction_levels(results: Results, data: str) -> dict[str, Any]:
    """The metrics themselves, likewise."""
    rows = _rows_of_several(results, data)
    return _by_fraction(
        results, data, rows, lambda row, metric, share: level(results, data, row, metric, fraction=share)
    )


def _rows_of_several(results: Results, data: str) -> list[str]:
    several = {row for fraction in results.fractions(data) if fraction < 1 for row in results.rows(data, fraction)}
    return [row for row in results.rows(data) if row in several]


def _by_fraction(
    results: Results, data: str, rows: Iterable[str], measure: Callable[[str, Metric, float], dict[str, Any] | None]
) -> dict[str, Any]:
    """`measure` by row, metric and percent of the labels, where it has a value."""
    return {
        row: {
            metric: {
                percent(fraction): item
                for fraction in results.fractions(data)
                if (item := measure(row, metric, fraction)) is not None
            }
            for metric in METRICS
        }
        for row in rows
    }


def find_warnings(results: Results) -> list[str]:
    """What a reader must know before the numbers: runs that are missing, or not made alike."""
    warnings = list(_unlike(results))
    code = {item["code"]["digest"]: _named(item["code"]) for item in results.done.values()}
    if len(code) > 1:
        warnings.append(f"runs of {len(code)} states of the code, such as at {', '.join(sorted(set(code.values())))}")
    elif any(item["code"]["dirty"] for item in results.done.values()):
        warnings.append("some runs' code had changes that were in no revision; all ran the same modules")
    return warnings


def _unlike(results: Results) -> Iterator[str]:
    by_row: dict[str, set[str]] = {}
    for run, item in results.done.items():
        by_row.setdefault(run.row, set()).add(item["config_digest"])
    for row, digests in by_row.items():
        if len(digests) > 1:
            yield f"{row}: runs of {len(digests)} configurations ({', '.join(sorted(digests))})"
    arithmetic = {item["versions"].get("arithmetic", "unknown") for item in results.done.values()}
    if len(arithmetic) > 1:
        yield f"runs on processors that compute in {' and '.join(sorted(arithmetic))}"


def _named(code: Mapping[str, Any]) -> str:
    return f"{code['git'][:10]}{' with changes' if code['dirty'] else ''}"


def _points(results: Results, runs: Iterable[PlannedRun], kind: str, metric: Metric) -> list[Values]:
    """A metric of one kind of answer; without resamples of the subjects."""
    number = results.study.statistics.resamples
    points = [results.done[run]["test"][kind][metric] for run in runs]
    return [Values(point, np.full(number, point)) for point in points]


def _gain(study: Study, ones: Sequence[Values], others: Sequence[Values], metric: Metric) -> dict[str, float | None]:
    settings = study.statistics
    found: Estimate = gain_estimate(ones, others, relative=metric == "nme", level=settings.interval, seed=settings.seed)
    return {name: _round(value) for name, value in found._asdict().items()}


def _means(items: Sequence[Mapping[str, float]], names: Iterable[str]) -> dict[str, float]:
    """Means of the values that some item has."""
    known = {name: [item[name] for item in items if name in item] for name in names}
    return {name: _round(float(np.mean(values))) for name, values in known.items() if values}


@overload
def _round(value: float) -> float: ...
@overload
def _round(value: float | None) -> float | None: ...
def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)
