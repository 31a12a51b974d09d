"""Which faces a benchmark holds: splits, subjects, shown expressions and the labels that are given."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.sample.schema import EXPRESSIONS, FaceJob, Ints, Split, Style, Subset

FLIP_SHARE = 0.1
_WILD_MIX = (0.42, 0.33, 0.05, 0.05, 0.05, 0.05, 0.05)  # the landmark source is mostly neutral and happy
_PLAN_STREAM = 0


@dataclass(frozen=True)
class Sizes:
    """Number of faces; `iid` draws both training subsets like validation and test, without flipped labels."""

    train_landmarks: int
    train_expressions: int
    val: int
    test: int
    iid: bool = False


@dataclass(frozen=True)
class _Source:
    """One subset of one split; its classes are balanced where `mix` is None, `flips` of its labels are wrong."""

    split: Split
    subset: Subset
    count: int
    style: Style
    first: int = 0
    mix: tuple[float, ...] | None = None
    flips: float = 0.0


def plan_faces(sizes: Sizes, seed: int) -> list[FaceJob]:
    """All faces in the order of the label table; subjects are never shared between subsets or splits."""
    rng = np.random.default_rng([seed, _PLAN_STREAM])
    subjects = iter(range(10**9))
    wild = None if sizes.iid else _WILD_MIX
    flips = 0.0 if sizes.iid else FLIP_SHARE
    portrait: Style = "mixed" if sizes.iid else "portrait"
    crop: Style = "mixed" if sizes.iid else "crop"
    sources = (
        _Source("train", "landmarks", sizes.train_landmarks, portrait, mix=wild),
        _Source("train", "expressions", sizes.train_expressions, crop, first=sizes.train_landmarks, flips=flips),
        _Source("val", "both", sizes.val, "mixed"),
        _Source("test", "both", sizes.test, "mixed"),
    )
    return [job for source in sources for job in _plan_source(rng, subjects, source)]


def _plan_source(rng: np.random.Generator, subjects: Iterator[int], source: _Source) -> list[FaceJob]:
    count, classes = source.count, len(EXPRESSIONS)
    shown = _balanced(rng, count) if source.mix is None else rng.choice(classes, count, p=source.mix)
    owners = _owners(rng, subjects, count)
    flipped = set(rng.permutation(count)[: round(source.flips * count)].tolist())
    jobs = []
    for i in range(count):
        moved = int(rng.integers(1, classes)) if i in flipped else 0
        label = EXPRESSIONS[(int(shown[i]) + moved) % classes]
        jobs.append(
            FaceJob(
                index=source.first + i,
                split=source.split,
                subset=source.subset,
                subject=owners[i],
                shown=EXPRESSIONS[int(shown[i])],
                label=None if source.subset == "landmarks" else label,
                style=source.style,
            )
        )
    return jobs


def _balanced(rng: np.random.Generator, count: int) -> Ints:
    """Class numbers (count,), each class as often as any other to within one."""
    return rng.permutation(np.arange(count) % len(EXPRESSIONS))


def _owners(rng: np.random.Generator, subjects: Iterator[int], count: int) -> list[int]:
    """A subject for each face, two to four faces each."""
    owners: list[int] = []
    while len(owners) < count:
        owners += [next(subjects)] * int(rng.integers(2, 5))
    return owners[:count]
