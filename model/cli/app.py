"""Assembles the commands and turns typed failures into exit codes."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from model.config import Config, load_config
from model.errors import ConfigError, FaceError, StorageError

app = typer.Typer(
    name="rmtl",
    help="Residual multi-task learning of 68 facial landmarks and 7 apparent expressions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Params = Annotated[Path, typer.Option("--params", help="File with every value.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Dotted name and value, as `train.lr=0.001`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

PARAMS_FILE = Path("params.yaml")


def main() -> None:
    """Run `rmtl`; the exit code tells the kind of failure (see `model.errors`)."""
    from model.cli import (  # noqa: F401
        accept,
        audit,
        data,
        doctor,
        forget,
        pack,
        pipeline,
        plot,
        predict,
        recipe,
        registry,
        search,
        serve,
        steps,
        unpack,
    )

    try:
        logging.basicConfig(level=_log_level(), format="%(levelname)s %(name)s: %(message)s")
        app()
    except FaceError as error:
        sys.exit(_report(error))
    except OSError as error:
        sys.exit(_report(StorageError(f"{error.filename or 'input or output'}: {error.strerror or error}")))


def _log_level() -> str:
    level = os.environ.get("RMTL_LOG_LEVEL", "WARNING")
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise ConfigError(f"RMTL_LOG_LEVEL={level}: need one of {', '.join(known)}")
    return level.upper()


def _report(error: FaceError) -> int:
    typer.echo(f"error: {error}", err=True)
    return error.exit_code


def read_config(params: Path, overrides: list[str] | None) -> Config:
    """The configuration of one command: the file, and its `--set` options over it."""
    return load_config(params, dict(_pair(text) for text in overrides or []))


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one result: JSON for machines, aligned lines for people."""
    if as_json:
        typer.echo(json.dumps(result, default=str))
        return
    width = max((len(name) for name in result), default=0)
    for name, value in result.items():
        typer.echo(f"{name:<{width}}  {value}")


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: need NAME=VALUE, as `train.lr=0.001`")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not readable as YAML: {error}") from error
