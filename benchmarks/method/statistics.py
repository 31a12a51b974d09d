"""Paired comparisons by a hierarchical bootstrap, and Holm's correction; plain arrays in, numbers out.

Letters: R resamples, S seeds, G subjects, N faces, C 49 cells of a confusion matrix. All seeds answer the same test
faces, so a resample draws the seeds, and the subjects once for all of these seeds. Fewer than `FEW` seeds are too few
to draw from (three that are alike would seem to differ in one case of six): Student's t takes their place.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from model.evaluation.expression import macro_f1_of
from model.schema import EXPRESSIONS, NO_LABEL

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Drawn = npt.NDArray[np.float32]

FEW = 5

_E = len(EXPRESSIONS)


class Estimate(NamedTuple):
    """A value with the ends of its interval, and the two-sided p-value of zero; one seed alone has no interval."""

    value: float
    low: float | None
    high: float | None
    p: float


class Values(NamedTuple):
    """A metric of one run: on the test set, and on each resample of its subjects."""

    point: float
    drawn_R: Array


def draw_subjects(count_G: Array, resamples: int, generator: np.random.Generator) -> Drawn:
    """How often each subject is drawn (R, G); each resample draws as many as there are.

    In float32, which holds the counts exactly and halves the time of the products.
    """
    subjects = len(count_G)
    return generator.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples).astype(np.float32)


def subject_means(values_N: Array, subject_N: Ints) -> Array:
    """Mean over the faces of each subject whose value is known, not NaN; 0 for a subject without any."""
    known_N = ~np.isnan(values_N)
    subjects = int(subject_N.max()) + 1
    sum_G = np.bincount(subject_N[known_N], weights=values_N[known_N], minlength=subjects)
    return np.asarray(sum_G / np.maximum(np.bincount(subject_N[known_N], minlength=subjects), 1))


def nme_values(mean_G: Array, count_G: Array, drawn_RG: Drawn) -> Values:
    """Mean error over faces in percent, from the means of the subjects and their numbers of faces with an error."""
    total_G = 100 * mean_G * count_G
    return Values(float(total_G.sum() / count_G.sum()), (drawn_RG @ total_G) / (drawn_RG @ count_G))


def f1_values(class_N: Ints, label_N: Ints, subject_N: Ints, drawn_RG: Drawn) -> Values:
    """Macro-F1 in percent over the faces with a label, from the confusion counts of the subjects."""
    counts_GC = np.zeros((drawn_RG.shape[1], _E * _E), np.float32)
    known_N = label_N != NO_LABEL
    np.add.at(counts_GC, (subject_N[known_N], (label_N * _E + class_N)[known_N]), 1.0)
    drawn_REE = (drawn_RG @ counts_GC).reshape(-1, _E, _E)
    return Values(100 * float(macro_f1_of(counts_GC.sum(axis=0).reshape(_E, _E))), 100 * macro_f1_of(drawn_REE))


def mean_estimate(runs: Sequence[Values], level: float, seed: int) -> Estimate:
    """Mean over seeds; its p-value is that of a mean of zero."""
    if len(runs) < FEW:
        return _few([run.point for run in runs], _subject_means(runs), level)
    drawn_R = _seed_means(_sorted_by([run.point for run in runs], runs), seed=seed)
    return _estimate(_mean(runs), drawn_R, level)


def gain_estimate(
    runs: Sequence[Values], others: Sequence[Values], *, relative: bool, level: float, seed: int
) -> Estimate:
    """What `runs` gain over `others`, in pairs of equal seed: more is better.

    `relative`: how much lower the mean is, in percent of the others' mean (an error); else how much higher it is, in
    the unit of the values (a score).
    """
    sign = -1.0 if relative else 1.0
    # The pairs in an order of their own, so that the numbering of the seeds does not show.
    differences = [run.point - other.point for run, other in zip(runs, others, strict=True)]
    one, other = _mean(runs), _mean(others)
    scale = 100 / other if relative else 1.0
    if len(runs) < FEW:
        gap_R = _subject_means(runs) - _subject_means(others)
        return _few([sign * scale * item for item in differences], sign * scale * gap_R, level)
    one_R, other_R = (_seed_means(_sorted_by(differences, items), seed=seed) for items in (runs, others))
    scale_R = 100 / other_R if relative else np.ones_like(other_R)
    return _estimate(sign * (one - other) * scale, sign * (one_R - other_R) * scale_R, level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values in the order given: reject those of at most the level of the family."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, float)[order] * factors))
    return [float(adjusted[place]) for place in np.argsort(order)]


def _seed_means(runs: Sequence[Values], *, seed: int) -> Array:
    """Mean over seeds drawn with replacement, resample by resample; the draws depend on numbers alone."""
    drawn_SR = np.stack([run.drawn_R for run in runs])
    seeds, resamples = drawn_SR.shape
    times_RS = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    return np.asarray(np.einsum("rs,sr->r", times_RS, drawn_SR) / seeds)


def _subject_means(runs: Sequence[Values]) -> Array:
    """Mean over all seeds, resample by resample of the subjects."""
    return np.asarray(np.mean([run.drawn_R for run in runs], axis=0))


def _few(point_S: Sequence[float], drawn_R: Array, level: float) -> Estimate:
    """Mean of a few seeds: half widths of what seeds (Student's t) and subjects (normal) bring, squares added.

    Source: Zou and Donner, Construction of confidence limits about effect measures, 2008 (the MOVER). The p-value is
    that at which the interval ends at zero.
    """
    value, seeds = float(np.mean(point_S)), len(point_S)
    if seeds == 1:
        return Estimate(value, None, None, 1.0)
    of_seeds, of_subjects = np.std(point_S, ddof=1) / np.sqrt(seeds), np.std(drawn_R)

    def half(p: float) -> float:
        return float(np.hypot(of_seeds * stats.t.isf(p / 2, seeds - 1), of_subjects * stats.norm.isf(p / 2)))

    least = 1e-9
    p = float(brentq(lambda p: half(p) - abs(value), least, 1.0)) if half(least) > abs(value) else least
    return Estimate(value, value - half(1 - level), value + half(1 - level), 1.0 if value == 0 else p)


def _sorted_by(keys: Sequence[float], runs: Sequence[Values]) -> list[Values]:
    return [runs[place] for place in np.argsort(keys, kind="stable")]


def _estimate(value: float, drawn_R: Array, level: float) -> Estimate:
    low, high = np.quantile(drawn_R, [(1 - level) / 2, (1 + level) / 2])
    below, above = int((drawn_R <= 0).sum()), int((drawn_R >= 0).sum())
    return Estimate(float(value), float(low), float(high), min(1.0, 2 * (min(below, above) + 1) / (len(drawn_R) + 1)))


def _mean(runs: Sequence[Values]) -> float:
    return float(np.mean([run.point for run in runs]))
