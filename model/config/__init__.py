"""params.yaml as one typed, frozen object.

Section name = pydantic class = DVC `params:` entry = pipeline parameter = MLflow prefix = Optuna dotted name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from model.config.base import Section, Seed
from model.config.data import AuditConfig, IndexConfig, PackConfig, ShardConfig, Source, UnpackConfig, ValidateConfig
from model.config.delivery import (
    CanaryConfig,
    DeployConfig,
    EvaluateConfig,
    GateConfig,
    PackageConfig,
    RegisterConfig,
)
from model.config.search import SearchConfig
from model.config.train import (
    AssociationConfig,
    AugmentConfig,
    BalanceConfig,
    LossConfig,
    NetConfig,
    ResidualConfig,
    TrainConfig,
    TrainRun,
)
from model.errors import ConfigError

__all__ = [
    "AssociationConfig",
    "AuditConfig",
    "AugmentConfig",
    "BalanceConfig",
    "CanaryConfig",
    "Config",
    "DeployConfig",
    "EvaluateConfig",
    "GateConfig",
    "IndexConfig",
    "LossConfig",
    "NetConfig",
    "PackConfig",
    "PackageConfig",
    "RegisterConfig",
    "ResidualConfig",
    "SearchConfig",
    "ShardConfig",
    "Source",
    "TrainConfig",
    "TrainRun",
    "UnpackConfig",
    "ValidateConfig",
    "dump_config",
    "flatten",
    "load_config",
    "override",
    "parse_config",
    "parse_section",
]


class Config(Section):
    """All of params.yaml; `seed` drives every random draw."""

    seed: Seed
    unpack: UnpackConfig
    pack: PackConfig
    index: IndexConfig
    validate_: ValidateConfig
    shard: ShardConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    register_: RegisterConfig
    package: PackageConfig
    deploy: DeployConfig
    search: SearchConfig
    audit: AuditConfig

    @property
    def run(self) -> TrainRun:
        """What training needs of it."""
        return TrainRun(seed=self.seed, train=self.train)


SectionT = TypeVar("SectionT", bound=Section)

# pydantic's BaseModel already owns these two names.
_FIELDS = {"validate": "validate_", "register": "register_"}


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read params.yaml, lay `overrides` (dotted name to value) over it, and check everything at once.

    Raises:
        ConfigError: a missing or unreadable file, or all unknown keys, wrong types and ranges with their dotted names.
    """
    try:
        tree = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; run from the folder that holds params.yaml") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; need a file such as params.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected sections such as `train:`, found {type(tree).__name__}")
    return parse_config(override(tree, overrides or {}), origin=str(path))


def parse_config(tree: Mapping[str, Any], *, origin: str) -> Config:
    """A checked configuration from plain values.

    Raises:
        ConfigError: every problem with its dotted name, one a line.
    """
    try:
        return Config.model_validate({_FIELDS.get(name, name): value for name, value in tree.items()})
    except ValidationError as error:
        raise ConfigError(_report(error, origin=origin)) from error


def parse_section(section: type[SectionT], values: Mapping[str, Any], *, name: str) -> SectionT:
    """One section alone, as a pipeline's parameter carries it: that cannot hold null, so an absent key may mean it.

    Raises:
        ConfigError: every problem with its dotted name, one a line.
    """
    try:
        return section.model_validate(_with_nulls(section, values))
    except ValidationError as error:
        raise ConfigError(_report(error, origin=name, prefix=f"{name}.")) from error


def parse_run(section: Mapping[str, Any], *, seed: int, overrides: Mapping[str, Any] | None = None) -> TrainRun:
    """What training needs, from a pipeline's parameter; `overrides` are dotted names such as `train.lr`.

    Raises:
        ConfigError: every problem with its dotted name, or an override of a key that training does not have.
    """
    tree = {"seed": seed, "train": _with_nulls(TrainConfig, section)}
    try:
        return TrainRun.model_validate(override(tree, overrides or {}))
    except ValidationError as error:
        raise ConfigError(_report(error, origin="train")) from error


def overlay(run: TrainRun, values: Mapping[str, Any]) -> TrainRun:
    """The run with dotted names such as `train.lr` replaced.

    Raises:
        ConfigError: as `parse_run`.
    """
    return parse_run(run.train.model_dump(mode="json"), seed=run.seed, overrides=values)


def dump_config(config: Config) -> dict[str, Any]:
    """Plain values, as they stand in params.yaml."""
    tree = config.model_dump(mode="json")
    return {name: tree[_FIELDS.get(name, name)] for name in _public_names()}


def override(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `tree` with each dotted name set; names of absent keys are errors.

    Raises:
        ConfigError: every dotted name that params.yaml does not have.
    """
    result: dict[str, Any] = _copy(tree)
    unknown = []
    for name, value in values.items():
        *parents, leaf = name.split(".")
        node: Any = result
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict) and leaf in node:
            node[leaf] = _copy(value)
        else:
            unknown.append(name)
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: params.yaml has no such key; `rmtl recipe --show` lists them")
    return result


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names and leaf values; lists are leaves."""
    return dict(_leaves(tree, prefix))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _with_nulls(section: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(values)
    for name, field in section.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        if type(None) in kinds:
            result.setdefault(name, None)
        elif isinstance(kinds[0], type) and issubclass(kinds[0], Section) and isinstance(result.get(name), Mapping):
            result[name] = _with_nulls(kinds[0], result[name])
    return result


def _copy(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _copy(item) for key, item in value.items()}
        case list() | tuple():
            return [_copy(item) for item in value]
        case _:
            return value


def _public_names() -> list[str]:
    private = {field: name for name, field in _FIELDS.items()}
    return [private.get(name, name) for name in Config.model_fields]


def _report(error: ValidationError, *, origin: str, prefix: str = "") -> str:
    problems = [f"  {prefix}{_dotted(item['loc'])}: {item['msg']}{_given(item)}" for item in error.errors()]
    return "\n".join([f"{origin}: {len(problems)} wrong value(s)", *sorted(problems)])


def _dotted(location: tuple[int | str, ...]) -> str:
    private = {field: name for name, field in _FIELDS.items()}
    return ".".join(private.get(str(part), str(part)) for part in location)


def _given(item: Any) -> str:
    return "" if item["type"] in ("missing", "extra_forbidden") else f" (given: {item['input']!r})"
