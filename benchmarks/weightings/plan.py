"""plan.yaml as a typed plan: which runs there are, in which order, and with which configuration."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from benchmarks.method.places import Places
from benchmarks.method.plan import ROOT, PlannedRun, read_plan
from model.config import Config, SearchConfig, dump_config, load_config, override, parse_config
from model.config.base import Count, Section
from model.config.search import Sampler, SearchRange
from model.errors import ConfigError

PLAN_FILE = Path(__file__).with_name("plan.yaml")

TUNE, FULL = "tune", "full"


class Method(Section):
    """What a method lays over params.yaml, and what it tunes."""

    space: Literal["lr", "search"]
    sampler: Sampler
    overrides: dict[str, Any]


class Singles(Section):
    """Recipes of the nets of one task, by the metric that they have."""

    nme: str
    macro_f1: str


class Plan(Section):
    """All of plan.yaml."""

    trials: Count
    budget_of: str
    seeds: Count
    split: Literal["val", "test"]
    lr: SearchRange
    overrides: dict[str, Any]
    methods: Annotated[dict[str, Method], Field(min_length=1)]
    singles: Singles

    @model_validator(mode="after")
    def _names_are_known(self) -> "Plan":
        if self.budget_of not in self.methods:
            raise ValueError(f"budget_of: no method {self.budget_of}")
        return self

    @property
    def all_methods(self) -> dict[str, Method]:
        """Methods and single nets, the one that sets the budget first."""
        singles = {name: _single(name) for name in (self.singles.nme, self.singles.macro_f1)}
        known = {**self.methods, **singles}
        return {self.budget_of: known[self.budget_of], **known}


@dataclass(frozen=True)
class Run(PlannedRun):
    """`data` is the stage (`tune` or `full`), `row` the method."""

    @property
    def key(self) -> str:
        """Name of the run and of its file."""
        return f"{self.row}-{self.data}-{self.seed}"


@dataclass(frozen=True)
class Ground(Places):
    """Places of the runs, and the project whose shards, manifest and data they use."""

    project: Path

    @property
    def shards(self) -> Path:
        """Written by `rmtl shard`."""
        return self.project / "artifacts" / "shards"

    @property
    def manifest(self) -> Path:
        """Written by `rmtl validate`."""
        return self.project / "artifacts" / "manifest.valid.parquet"


def load_plan(path: Path = PLAN_FILE) -> Plan:
    """Read and check the plan.

    Raises:
        ConfigError: a missing file, an unknown key, or names that nothing defines.
    """
    return read_plan(Plan, path)


def planned_runs(plan: Plan, stage: str, pattern: str = "*") -> list[Run]:
    """Runs of a stage whose name fits; full ones by seed."""
    seeds = range(plan.seeds if stage == FULL else 1)
    runs = [Run(stage, 1.0, method, seed) for seed in seeds for method in plan.all_methods]
    return [run for run in runs if fnmatch(run.key, pattern)]


def run_config(plan: Plan, run: Run, params: Path) -> Config:
    """Configuration of a method, before anything is tuned.

    Raises:
        ConfigError: an override that params.yaml has no key for, or a wrong value.
    """
    method = plan.all_methods[run.row]
    config = load_config(params, {**plan.overrides, **method.overrides, "seed": run.seed})
    section: dict[str, Any] = {"search.study": f"weightings-{run.row}", "search.sampler": method.sampler}
    if method.space == "lr":
        section["search.space"] = [plan.lr.model_dump()]
    if len(config.train.net.tasks) == 1:
        section |= {"search.objective": "score", "search.pick": "score"}
    return parse_config(override(dump_config(config), section), origin=f"method {run.row}")


def tune_config(config: Config, trials: int) -> SearchConfig:
    """The search of a method up to a number of trials."""
    return config.search.model_copy(update={"trials": trials, "warm_start": True})


def _single(name: str) -> Method:
    path = ROOT / "recipes" / f"row-{name}.yaml"
    try:
        return Method(space="lr", sampler="tpe", overrides=yaml.safe_load(path.read_text()))
    except OSError as error:
        raise ConfigError(f"singles: no recipe {path}") from error
