"""Drift: does the mix of traits differ from that of the version that was accepted last?

A version is remembered by its profile alone: a histogram of each trait in each part (`source/split`). The measure is
the population stability index, `PSI = sum (p - q) ln(p / q)` over the bins, which grows with the shift and not with the
number of faces. Small parts scatter, so a PSI counts only where a chi-square test of the same two histograms tells them
apart, at a level that is shared out among all comparisons (Bonferroni).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from model.config.data import DriftConfig
from model.data.validate.judgement import Judgement
from model.data.validate.pictures import Look
from model.data.validate.rules import drift_rules
from model.data.validate.traits import NAMES, NUMBERS, PART, traits_of, values_of
from model.errors import DataContractError, StorageError
from model.storage import read_json

Counts = NDArray[np.float64]
Profile = dict[str, Any]

COLUMNS = ("row", "part", "trait", "psi", "p", "faces", "then", "drift", "told")

_FORMAT = 1
_DECILES = np.linspace(0.1, 0.9, 9)
_FEWEST = 20
_DIGITS = 6
_HALF = 0.5


def judge_drift(judgement: Judgement, config: DriftConfig, looks: Mapping[str, Look], data: Path) -> dict[str, Any]:
    """Judge the kept rows against the accepted version; what the report tells of it.

    Raises:
        DataContractError: the accepted version's file is no profile.
    """
    reference, table = read_reference(data / config.reference), traits_of(judgement.kept, looks)
    told: dict[str, Any] = {"reference": None, "file": config.reference, "compared": [], "new_parts": []}
    if reference is not None:
        compared = compare(config, reference, table)
        judgement.apply("drift", compared, drift_rules(config, compared["trait"].unique()))
        told["reference"] = reference["data_digest"]
        told["compared"] = compared[["part", "trait", "psi", "drift"]].round(_DIGITS).to_dict("records")
        told["new_parts"] = sorted(set(table[PART]) - set(reference["parts"]))
        gone = sorted(set(reference["parts"]) - set(table[PART]))
        if gone:
            judgement.warnings.append(f"drift: {', '.join(gone)} of the accepted version is no longer there")
    return {**told, "profile": profile_of(table)}


def profile_of(table: pd.DataFrame) -> Profile:
    """Histograms of all traits by part; numbers in tenths of their own distribution."""
    return {str(part): _profile(rows) for part, rows in table.groupby(PART, sort=True)}


def reference_of(profile: Profile, data_digest: str) -> dict[str, Any]:
    """What is kept of an accepted version."""
    return {"format": _FORMAT, "data_digest": data_digest, "parts": profile}


def read_reference(path: Path) -> dict[str, Any] | None:
    """The accepted version, None where none was accepted yet.

    Raises:
        DataContractError: the file is no profile.
    """
    if not path.exists():
        return None
    try:
        reference: dict[str, Any] = read_json(path)
    except StorageError as error:
        raise DataContractError(f"{path}: {error}; `rmtl data accept` writes it") from error
    if not isinstance(reference, dict) or reference.get("format") != _FORMAT:
        raise DataContractError(f"{path}: not the profile of an accepted version; `rmtl data accept` writes it")
    return reference


def compare(config: DriftConfig, reference: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """A row (`COLUMNS`) for each trait of each part that both versions know of at least 20 faces.

    `drift` is the PSI where the difference is no chance, else 0.
    """
    parts = {str(part): rows for part, rows in table.groupby(PART, sort=True)}
    found = []
    for part, before in reference["parts"].items():
        for trait in (*NUMBERS, *NAMES):
            if part in parts and trait in before:
                values = values_of(parts[part], trait)
                found.append((part, trait, before[trait], values, *_histograms(trait, before[trait], values)))
    rows = [
        (part, trait, *_psi(then, now), int(now.sum()), int(then.sum()), _change(trait, was, values))
        for part, trait, was, values, then, now in found
        if min(then.sum(), now.sum()) >= _FEWEST
    ]
    result = pd.DataFrame(rows, columns=["part", "trait", "psi", "p", "faces", "then", "told"])
    result["drift"] = result["psi"].where(result["p"] < config.alpha / max(len(result), 1), 0.0)
    return result.assign(row=range(len(result)))[list(COLUMNS)]


def _profile(rows: pd.DataFrame) -> Profile:
    profile: Profile = {}
    for trait in NUMBERS:
        values = values_of(rows, trait).to_numpy(np.float64)
        if len(values):
            edges = _edges(values)
            counts = np.bincount(_bins(edges, values), minlength=len(edges) + 1)
            profile[trait] = {"mean": round(float(values.mean()), _DIGITS), "edges": edges, "counts": counts.tolist()}
    for trait in NAMES:
        counted = values_of(rows, trait).value_counts().sort_index()
        if len(counted):
            profile[trait] = {"counts": {str(name): int(count) for name, count in counted.items()}}
    return profile


def _edges(values: Counts) -> list[float]:
    """Deciles; a value that fills several tenths is a bin of its own."""
    deciles = np.round(np.quantile(values, _DECILES), _DIGITS)
    edges, repeats = np.unique(deciles, return_counts=True)
    below = edges[repeats > 1] - 10.0**-_DIGITS
    return [float(edge) for edge in np.unique(np.round([*edges, *below], _DIGITS))]


def _bins(edges: list[float], values: Counts) -> NDArray[np.intp]:
    """The bin of each value, rounded as the edges are, so that a value that is an edge lies below it."""
    return np.searchsorted(edges, np.round(values, _DIGITS))


def _histograms(trait: str, before: Mapping[str, Any], values: pd.Series) -> tuple[Counts, Counts]:
    """Faces then and now in the bins of the accepted version."""
    if trait in NAMES:
        names = sorted({*before["counts"], *values})
        now = values.value_counts()
        return (
            np.array([before["counts"].get(name, 0) for name in names], dtype=np.float64),
            np.array([now.get(name, 0) for name in names], dtype=np.float64),
        )
    bins = _bins(before["edges"], values.to_numpy(np.float64))
    then = np.array(before["counts"], dtype=np.float64)
    return then, np.bincount(bins, minlength=len(then)).astype(np.float64)


def _psi(then: Counts, now: Counts) -> tuple[float, float]:
    """PSI with half a face added to each bin, and the chance of so large a difference within one population."""
    p, q = ((counts + _HALF) / (counts + _HALF).sum() for counts in (now, then))
    total = then + now
    expected = [counts.sum() * total / total.sum() for counts in (then, now)]
    terms = [
        np.divide((counts - mean) ** 2, mean, out=np.zeros_like(mean), where=mean > 0)
        for counts, mean in zip((then, now), expected, strict=True)
    ]
    freedom = max(int((total > 0).sum()) - 1, 1)
    return float(((p - q) * np.log(p / q)).sum()), float(chi2.sf(sum(term.sum() for term in terms), freedom))


def _change(trait: str, before: Mapping[str, Any], values: pd.Series) -> str:
    """What changed, in words: the mean, or the name whose share moved most."""
    if trait in NUMBERS:
        return f"mean {before['mean']:.3g} then, {values.mean():.3g} now"
    now, then = values.value_counts(normalize=True), pd.Series(before["counts"], dtype=float)
    moved = now.sub(then / then.sum(), fill_value=0.0)
    name = moved.abs().idxmax()
    return f"{name} {100 * then.get(name, 0.0) / then.sum():.0f} % then, {100 * now.get(name, 0.0):.0f} % now"
