"""Sections `index`, `validate` and `shard`."""

from typing import Annotated, Literal

from pydantic import Field

from model.config.base import Count, Positive, Section, Share

Reader = Literal["w300", "aflw", "affectnet", "affectnet2021", "rafdb", "class_folders", "generic"]


class Splits(Section):
    """Which folders (or rows) of the benchmark make up each of our splits."""

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


class Source(Section):
    """One benchmark in its official layout. `path` lies under `data/`; `votes` names a FER+ table beside it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    reader: Reader
    path: str
    restricted: bool
    splits: Splits
    votes: str | None = None


class IndexConfig(Section):
    """`holdout` is the share of training groups that becomes `val` where a source names none."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    holdout: Share
    exclude: tuple[str, ...]


class ValidateConfig(Section):
    """`budget` is the largest share of bad rows; `margin` how far points may lie outside, in picture sizes."""

    budget: Share
    min_side: Count
    max_pixels: Count
    margin: Share
    shape_distance: Positive
    near_duplicate_bits: Annotated[int, Field(ge=0, le=16)]


class ShardConfig(Section):
    """`max_side` bounds the stored face window in pixels; smaller pictures keep their bytes."""

    faces_per_shard: Count
    max_side: Count
    window: Annotated[float, Field(ge=1, le=4)]
