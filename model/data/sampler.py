"""Which faces a training epoch draws, as one sequence that any number of processes share."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.config import BalanceConfig
from model.errors import ConfigError, DataContractError
from model.schema import NO_LABEL

Rows = NDArray[np.int64]


class Group(NamedTuple):
    """Rows that are drawn alike, and their share of all draws."""

    rows: Rows
    share: float


def make_groups(source_N: Rows, expression_N: Rows, balance: BalanceConfig) -> list[Group]:
    """Rows by source, and by class within a source that has labels; the shares sum to 1.

    A source of `n` faces gets a share in proportion to `n^(1 - sources)`: 1 draws sources evenly, 0 by size. So do the
    classes of a source, with `classes`; its faces without label keep their proportion.

    Raises:
        DataContractError: there is no face.
    """
    if len(source_N) == 0:
        raise DataContractError("split train holds no face: nothing to draw; see `reports/validation.json`")
    sources, sizes = np.unique(source_N, return_counts=True)
    groups = []
    for source, share in zip(sources, _shares(sizes, balance.sources), strict=True):
        rows = np.flatnonzero(source_N == source)
        groups += _within_source(rows, expression_N[rows], share, balance.classes)
    # One group would be the same faces in the same shares: only then does an epoch pass over each face once.
    even = all(np.isclose(group.share, len(group.rows) / len(source_N)) for group in groups)
    return [Group(np.arange(len(source_N)), 1.0)] if even else groups


def epoch_length(faces: int, batch_size: int, steps_per_epoch: int) -> int:
    """Draws of an epoch: whole batches, `steps_per_epoch` of them, or enough for every face where that is 0."""
    return batch_size * (steps_per_epoch or -(-faces // batch_size))


def draw_epoch(groups: Sequence[Group], length: int, *, seed: int, epoch: int) -> Rows:
    """Rows in the order of training.

    Each group gets its share of `length` (rounded at random, so that no small group is forgotten), its draws spread
    evenly over the epoch. Within a group every row comes once before any comes again.
    """
    generator = np.random.default_rng([seed, epoch])
    counts = _apportion([group.share for group in groups], length, generator)
    rows = [_passes(group.rows, count, generator) for group, count in zip(groups, counts, strict=True)]
    moments = [(np.arange(count) + generator.random(count)) / max(count, 1) for count in counts]
    order: Rows = np.concatenate(rows)[np.argsort(np.concatenate(moments), kind="stable")]
    return order


def rank_positions(length: int, batch_size: int, *, rank: int, world: int) -> list[Rows]:
    """Positions of one process in each global batch: every `world`-th, from `rank` on.

    The last global batch may be uneven; a process that gets nothing of it has one batch less.

    Raises:
        ConfigError: `batch_size` cannot be divided over the processes.
    """
    if batch_size % world:
        raise ConfigError(f"train.batch_size: {batch_size} cannot be divided over {world} processes; use a multiple")
    starts = range(0, length, batch_size)
    batches = [np.arange(start + rank, min(start + batch_size, length), world) for start in starts]
    return [batch for batch in batches if len(batch)]


def _within_source(rows: Rows, expression: Rows, share: float, evenness: float) -> list[Group]:
    classes, sizes = np.unique(expression[expression != NO_LABEL], return_counts=True)
    if evenness == 0 or len(classes) == 0:
        return [Group(rows, share)]
    labelled = sizes.sum() / len(rows)
    parts = share * labelled * _shares(sizes, evenness)
    groups = [Group(rows[expression == each], part) for each, part in zip(classes, parts, strict=True)]
    unlabelled = rows[expression == NO_LABEL]
    return [*groups, Group(unlabelled, share * (1 - labelled))] if len(unlabelled) else groups


def _shares(sizes: Rows, evenness: float) -> NDArray[np.float64]:
    weights = np.power(sizes.astype(np.float64), 1 - evenness)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _apportion(shares: Sequence[float], total: int, generator: np.random.Generator) -> Rows:
    """Whole numbers that sum to `total`, each within one of its share and right on average."""
    bounds = np.floor(np.cumsum([0.0, *shares]) * total + generator.random())
    bounds[-1] = bounds[0] + total
    counts: Rows = np.diff(bounds).astype(np.int64)
    return counts


def _passes(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    passes = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate([*passes, rows[:0]])[:count]
