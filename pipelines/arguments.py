"""What a training run is called with: the sections of params.yaml, a data version, a remote."""

import getpass
from pathlib import Path
from typing import Any

import yaml

from model.config import Config, dump_config
from model.errors import ConfigError

SECTIONS = ("index", "validate", "shard", "train", "evaluate", "register", "package")


def training_arguments(config: Config, *, data_version: str, remote: str) -> dict[str, Any]:
    """Parameters of `pipelines.training.training` by name."""
    tree = dump_config(config)
    return {
        "data_version": data_version,
        "remote": remote,
        "seed": config.seed,
        **{name: _without_nulls(tree[name]) for name in SECTIONS},
        "who": getpass.getuser(),
    }


def data_version(pointer: Path) -> str:
    """The digest that data.dvc holds.

    Raises:
        ConfigError: no such file, or not a DVC pointer to one folder.
    """
    try:
        (output,) = yaml.safe_load(pointer.read_text())["outs"]
        return str(output["md5"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{pointer}: not a DVC pointer: {error}; run `dvc add data`") from error


def _without_nulls(value: Any) -> Any:
    """A pipeline's parameter cannot hold null; `parse_section` puts it back."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
