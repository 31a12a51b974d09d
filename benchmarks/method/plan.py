"""study.yaml as a typed plan: which runs there are, in which order, and with which configuration."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from model.config import Config, load_config
from model.config.base import Count, Positive, Section, Share
from model.errors import ConfigError

ROOT = Path(__file__).parents[2]
STUDY_FILE = Path(__file__).with_name("study.yaml")

P = TypeVar("P", bound=Section)
Metric = Literal["nme", "macro_f1"]
METRICS: tuple[Metric, ...] = get_args(Metric)
Fraction = Annotated[float, Field(gt=0, le=1)]


class DataSet(Section):
    """One draw of the generator, where `iid` removes the gap between its sources; null: a given set, never drawn.

    A given set lies in a folder of its name, as `index.sources` of the overrides says.
    """

    iid: bool | None


class DrawSizes(Section):
    """Seed of the generator and number of faces."""

    seed: int
    train_landmarks: Count
    train_expressions: Count
    val: Count
    test: Count


class Block(Section):
    """Every combination of its data sets, fractions of the training labels, rows, and seeds from 0 on."""

    data: Annotated[tuple[str, ...], Field(min_length=1)]
    fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    rows: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Count


class PerMetric(Section):
    """The row of a contrast for each metric."""

    nme: str
    macro_f1: str


class Effects(Section):
    """Gains that count: percent of the other row's NME, points of macro-F1."""

    nme: Positive
    macro_f1: Positive


class StatisticsConfig(Section):
    """Bootstrap and correction; `seed` fixes the draws."""

    resamples: Count
    interval: Share
    holm_level: Share
    seed: int


class Study(Section):
    """All of study.yaml."""

    full: str
    baseline: str
    sizes: DrawSizes | None = None
    data: dict[str, DataSet]
    overrides: dict[str, Any]
    blocks: dict[str, Block]
    contrasts: dict[str, PerMetric]
    smallest_effect: Effects
    statistics: StatisticsConfig

    @model_validator(mode="after")
    def _names_are_known(self) -> "Study":
        rows = {row for block in self.blocks.values() for row in block.rows}
        asked = {getattr(contrast, metric) for contrast in self.contrasts.values() for metric in METRICS}
        problems = [f"blocks: no data set {name}" for name in sorted(self.sets - set(self.data))]
        if self.sizes is None and any(item.iid is not None for item in self.data.values()):
            problems.append("sizes: needed to draw a data set")
        problems += [f"no block has row {row}" for row in sorted({self.full, self.baseline, *asked} - rows)]
        problems += [f"row {row}: no {_recipe(row)}" for row in sorted(rows - {self.full}) if not _recipe(row).exists()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def sets(self) -> set[str]:
        """Names of the data sets that some run needs."""
        return {name for block in self.blocks.values() for name in block.data}


@dataclass(frozen=True)
class PlannedRun:
    """One training: a row, on a fraction of the labels of a data set, from a seed."""

    data: str
    fraction: float
    row: str
    seed: int

    @property
    def key(self) -> str:
        """Name of the run and of its file; the fraction in percent."""
        return f"{self.data}-{percent(self.fraction)}-{self.row}-{self.seed}"


def percent(fraction: float) -> str:
    """A fraction of the labels as names carry it."""
    return f"{100 * fraction:g}"


def load_study(path: Path = STUDY_FILE) -> Study:
    """Read and check the plan.

    Raises:
        ConfigError: a missing file, an unknown key, or names that nothing defines.
    """
    return read_plan(Study, path)


def read_plan(kind: type[P], path: Path) -> P:
    """A checked plan of any kind.

    Raises:
        ConfigError: a missing file, or all wrong values, each with its dotted place.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        whole = kind.__name__.lower()
        lines = [f"  {'.'.join(map(str, item['loc'])) or whole}: {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join([f"{path}: {len(lines)} wrong value(s)", *lines])) from error


def planned_runs(study: Study, pattern: str = "*") -> list[PlannedRun]:
    """Runs whose key fits the pattern, each once: by seed, then in the order of the blocks."""
    rounds = range(max((block.seeds for block in study.blocks.values()), default=0))
    runs = dict.fromkeys(run for seed in rounds for block in study.blocks.values() for run in _of_seed(block, seed))
    return [run for run in runs if fnmatch(run.key, pattern)]


def run_overrides(study: Study, row: str) -> dict[str, Any]:
    """Dotted names that a row lays over params.yaml, those of the whole study included."""
    recipe = {} if row == study.full else yaml.safe_load(_recipe(row).read_text())
    return {**study.overrides, **recipe}


def run_config(study: Study, run: PlannedRun, params: Path) -> Config:
    """Configuration of a run.

    Raises:
        ConfigError: an override that params.yaml has no key for, or a wrong value.
    """
    return load_config(params, {**run_overrides(study, run.row), "seed": run.seed})


def config_digest(config: Config) -> str:
    """16 digits over the section `train`: the same for all seeds of a row."""
    return plain_digest(config.train.model_dump(mode="json"))


def plain_digest(values: Mapping[str, Any]) -> str:
    """16 digits that do not depend on the order of the keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _of_seed(block: Block, seed: int) -> Iterator[PlannedRun]:
    if seed < block.seeds:
        for data in block.data:
            for fraction in block.fractions:
                yield from (PlannedRun(data, fraction, row, seed) for row in block.rows)


def _recipe(row: str) -> Path:
    return ROOT / "recipes" / f"row-{row}.yaml"
