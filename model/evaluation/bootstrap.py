"""Percentile intervals by resampling clusters of faces: one person, or one photo, is drawn as a whole."""

from collections.abc import Callable, Hashable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from model.config import EvaluateConfig
from model.schema import FaceRecord

Array = npt.NDArray[np.float64]
Finish = Callable[[Array], Array]
"""Turns sums of contributions (last axis C) into the value of a metric, leading axes kept."""


class Resampler:
    """Draws of the clusters of one evaluation set, made once and shared by every metric and slice.

    A metric is a function of sums over faces, so a resample is a weighted sum: how often each cluster was drawn times
    what its faces contribute. All resamples of a metric are one matrix product.

    Args:
        clusters: key of each face's cluster; faces of equal key are drawn together.
        resamples: number R of draws; each draws as many clusters as there are, with replacement.
        seed: fixes the draws.
        level: coverage of the intervals, such as 0.95.
    """

    def __init__(self, clusters: Sequence[Hashable], *, resamples: int, seed: int, level: float) -> None:
        numbers: dict[Hashable, int] = {}
        self._cluster_N = np.array([numbers.setdefault(key, len(numbers)) for key in clusters], dtype=np.int64)
        self._tails = (50.0 * (1.0 - level), 50.0 * (1.0 + level))
        self._drawn_GR = _draw(len(numbers), resamples, np.random.default_rng(seed))

    @classmethod
    def of_faces(cls, records: Sequence[FaceRecord], config: EvaluateConfig, *, seed: int) -> Self:
        """Draws of persons (or photos), in all their sources at once; a face of no known one stands for itself."""
        clusters = [record.group or record.record_id for record in records]
        return cls(clusters, resamples=config.bootstrap, seed=seed, level=config.interval)

    def interval(self, contributions_NC: Array, finish: Finish, faces_N: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """Lower and upper ends of the interval of each value that `finish` makes; NaN where no draw has a value.

        Args:
            contributions_NC: what each face adds to the C sums.
            finish: sums to value.
            faces_N: the slice; faces outside it add nothing.
        """
        present, cluster_n = np.unique(self._cluster_N[faces_N], return_inverse=True)
        sums_GC = np.zeros((len(present), contributions_NC.shape[1]))
        np.add.at(sums_GC, cluster_n, contributions_NC[faces_N])
        values_Rx = np.asarray(finish(self._drawn_GR[present].T @ sums_GC))
        low, high = (_percentile(values_Rx, tail) for tail in self._tails)
        return low, high


def _draw(clusters: int, resamples: int, generator: np.random.Generator) -> Array:
    drawn_GR = np.zeros((clusters, resamples))
    if clusters:
        for column in range(resamples):
            picks = generator.integers(0, clusters, clusters)
            drawn_GR[:, column] = np.bincount(picks, minlength=clusters)
    return drawn_GR


def _percentile(values_Rx: Array, percent: float) -> Array:
    """Percentile over the draws that have a value (a small slice, or its last class, may be drawn not once)."""
    empty_x = np.isnan(values_Rx).all(axis=0)
    filled_Rx = np.where(empty_x, 0.0, values_Rx)
    return np.where(empty_x, np.nan, np.nanpercentile(filled_Rx, percent, axis=0))
