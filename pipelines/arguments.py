"""What a pipeline is called with: sections of params.yaml, a data version, places, a topology."""

import getpass
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model.config import Config, dump_config
from model.data.ingest import DIGEST, read_pointer
from model.errors import ConfigError
from model.launch.topology import parse_topology


@dataclass(frozen=True)
class Places:
    """What params.yaml does not hold: where data comes from, where the model goes, what training runs on.

    Attributes:
        data_version: md5 of a data.dvc, or a Git revision of `repository`.
        topology: launcher, nodes and processes, as `model.launch` reads them.
        rows: overrides of each ablation row by its name.
    """

    data_version: str
    remote: str
    repository: str = ""
    target: str = "none"
    topology: Mapping[str, Any] = field(default_factory=lambda: {"launcher": "step", "nodes": 1, "processes": 0})
    workers: int = 2
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def arguments_of(function: Any, config: Config, places: Places) -> dict[str, Any]:
    """Values for every parameter of a pipeline, by name.

    Raises:
        ConfigError: a revision without repository, an address with a password or token in it, or a choice that this
            pipeline has no use for.
    """
    names = inspect.signature(function.pipeline_func).parameters.keys()
    _check_choices(places, names)
    address = urlsplit(places.repository)
    if address.password or (address.username and address.scheme != "ssh"):
        raise ConfigError("repository: its address holds a user or a token; the steps of a run show it, leave it out")
    revision = DIGEST.fullmatch(places.data_version) is None
    if revision and not places.repository:
        raise ConfigError(f"data version {places.data_version!r}: a Git revision needs the repository's address")
    values = {
        **{name: _without_nulls(section) for name, section in dump_config(config).items()},
        "data_version": places.data_version,
        "named_by": "revision" if revision else "digest",
        "repository": places.repository,
        "remote": places.remote,
        "target": places.target,
        "topology": dict(places.topology),
        "who": getpass.getuser(),
        "workers": list(range(places.workers)),
        "names": list(places.rows),
        "rows": [dict(row) for row in places.rows.values()],
    }
    return {name: values[name] for name in names}


def _check_choices(places: Places, names: Collection[str]) -> None:
    """See that each choice is one, and that the pipeline with these parameters makes use of it."""
    parse_topology(places.topology)
    if "rows" in names and not places.rows:
        raise ConfigError("--rows: name the recipes to compare, as --rows row-hard-sharing row-residual")
    if places.rows and "rows" not in names:
        raise ConfigError("--rows: only --pipeline ablation compares recipes")
    if places.target != "none" and "target" not in names:
        raise ConfigError(f"--deploy {places.target}: only --pipeline training deploys")
    if "workers" in names and places.workers < 1:
        raise ConfigError(f"--workers {places.workers}: need at least one")


def data_version(pointer: Path) -> str:
    """The digest that data.dvc holds.

    Raises:
        ConfigError: no such file, or not a DVC pointer to one folder.
    """
    try:
        text = pointer.read_text()
    except OSError as error:
        raise ConfigError(f"{pointer}: cannot be read: {error}; run `dvc add data`") from error
    return read_pointer(text, origin=str(pointer))


def _without_nulls(value: Any) -> Any:
    """A pipeline's parameter cannot hold null; `parse_section` puts it back."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
