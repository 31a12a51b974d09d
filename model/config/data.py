"""Sections `unpack`, `pack`, `index`, `validate`, `shard` and `audit`."""

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from model.config.base import Count, Positive, Section, Share

Reader = Literal["w300", "aflw", "affectnet", "affectnet2021", "rafdb", "class_folders", "generic"]
Leak = Literal["stop", "aside"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]

_TELL_GROUPS = ("w300", "aflw", "generic")


class Splits(Section):
    """Which folders (or rows) of the benchmark make up each of our splits; each reader says what it takes."""

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _each_part_once(self) -> "Splits":
        parts = Counter([*self.train, *self.val, *self.test])
        twice = sorted(part for part, count in parts.items() if count > 1)
        if twice:
            raise ValueError(f"{', '.join(twice)} named more than once")
        if not parts:
            raise ValueError("no folder or row of the benchmark is named")
        return self


class Source(Section):
    """One benchmark in its official layout. `path` lies under `data/`; `votes` names a FER+ table below it.

    `persons` is a regular expression with one group, searched for in the names of pictures below `path`: what the group
    holds is the person, who must not stand in two splits. `people` names the population whose ids persons (or photos)
    have, by default the source itself: equal ids in two sources of the same `people` are one person.
    """

    name: Name
    reader: Reader
    path: str
    restricted: bool
    splits: Splits
    votes: str | None = None
    persons: str | None = None
    people: Name | None = None

    @property
    def namespace(self) -> str:
        """What the ids of persons and photos begin with in the manifest."""
        return self.people or self.name

    @field_validator("path", "votes")
    @classmethod
    def _stays_below(cls, value: str | None) -> str | None:
        return None if value is None else _below(value)

    @field_validator("persons")
    @classmethod
    def _names_one_group(cls, value: str | None) -> str | None:
        try:
            groups = 1 if value is None else re.compile(value).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"has {groups} groups, need one, which holds the person: `^(s[0-9]+)_`")
        return value

    @model_validator(mode="after")
    def _votes_have_a_reader(self) -> "Source":
        if self.votes is not None and self.reader != "class_folders":
            raise ValueError(f"votes belong to the reader class_folders, not to {self.reader}")
        return self

    @model_validator(mode="after")
    def _people_have_ids(self) -> "Source":
        if self.people is not None and self.persons is None and self.reader not in _TELL_GROUPS:
            raise ValueError(
                f"people needs ids of persons, which the reader {self.reader} does not give; name them by `persons`"
            )
        return self


class UnpackConfig(Section):
    """Limits of an archive of a benchmark, counted on what is really written.

    `max_entries` holds for entries, and for files with the folders that their names ask for. `max_ratio` is the largest
    number of bytes that one byte of the archive may become; GB are 2^30 bytes.
    """

    max_entries: Count
    max_gb: Positive
    max_entry_gb: Positive
    max_ratio: Annotated[float, Field(ge=1)]


class PackConfig(Section):
    """`max_mb` bounds each tar of a packed source, unless one picture is larger; MB are 2^20 bytes."""

    max_mb: Count


class IndexConfig(Section):
    """`holdout` is the share of training groups that becomes `val` where a source names none.

    `exclude` holds record ids and SHA-256 digests that leave the manifest.
    """

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    holdout: Share
    exclude: tuple[str, ...]

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        twice = sorted(name for name, count in Counter(source.name for source in sources).items() if count > 1)
        if twice:
            raise ValueError(f"source {', '.join(twice)} named more than once")
        return sources


class LeakageConfig(Section):
    """What a picture or a group in two splits does.

    `stop` fails validation; `aside` moves the row of the less protected split (train, then val) to quarantine,
    outside the budget.
    """

    exact: Leak
    near: Leak
    group: Leak


class DriftConfig(Section):
    """When the mix of a trait (brightness, pose, labels, ...) counts as drifted from the accepted version.

    `reference` is the accepted version's profile, below `data/`; `psi` the largest population stability index; `alpha`
    the chance of a false alarm, all comparisons together. `warn` tells of drift, `stop` fails validation.
    """

    reference: str
    psi: Positive
    alpha: Annotated[float, Field(gt=0, lt=1)]
    action: Literal["warn", "stop"]

    @field_validator("reference")
    @classmethod
    def _stays_below(cls, value: str) -> str:
        return _below(value)


class ValidateConfig(Section):
    """`budget` is the largest share of bad rows.

    `margin` is how far points and boxes may lie outside, in picture sizes; `shape_distance` the largest Procrustes
    distance (0 to 1) to the mean face, `numbering_gain` by how much less of it another numbering of the points may
    have, `turn` the largest in-plane angle to it in degrees; `box_overlap` the least intersection over union of a box
    and the tight box of its 68 points. Pictures are near duplicates when their perceptual hashes differ in at most
    `near_duplicate_bits` of 64 and their thumbnails correlate by `near_duplicate_correlation`. `expected` holds
    numbers of labelled faces, by `source/subset`, in place of the official ones in `data.readers.official`; another
    number is a warning.
    """

    budget: Share
    min_side: Count
    max_pixels: Count
    margin: Share
    shape_distance: Share
    numbering_gain: Share
    turn: Annotated[float, Field(gt=0, le=180)]
    box_overlap: Share
    near_duplicate_bits: Annotated[int, Field(ge=0, le=8)]
    near_duplicate_correlation: Share
    leakage: LeakageConfig
    expected: dict[str, Count]
    drift: DriftConfig


class ShardConfig(Section):
    """`max_side` bounds the stored face window in pixels; smaller pictures keep their bytes."""

    faces_per_shard: Count
    max_side: Count
    window: Annotated[float, Field(ge=1, le=4)]


class AuditConfig(Section):
    """The audit of expression labels: `folds` by person, `epochs` of its own landmark network.

    `flagged` is the share of the estimated number of wrong labels that is reported, surest first: below 1, because weak
    answers make the estimate too large.
    """

    folds: Annotated[int, Field(ge=2, le=20)]
    epochs: Count
    flagged: Share


def _below(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("must be relative, without `..`")
    return PurePosixPath(path).as_posix()
