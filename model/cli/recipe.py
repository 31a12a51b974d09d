"""`rmtl recipe`: lay an overlay of dotted keys over params.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from ruamel.yaml import YAML

from model.cli.app import PARAMS_FILE, AsJson, Params, app, show
from model.config import dump_config, flatten, load_config
from model.errors import ConfigError
from model.storage import atomic_path

RECIPES = Path("recipes")


@app.command()
def recipe(
    name: Annotated[str | None, typer.Argument(help="File of recipes/ without its suffix.")] = None,
    params: Params = PARAMS_FILE,
    show_keys: Annotated[bool, typer.Option("--show", help="List every dotted name and its value.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a recipe's values into params.yaml; comments and order stay.

    Example: rmtl recipe real-cpu && dvc repro
    """
    if show_keys:
        _list(flatten(dump_config(load_config(params))), as_json=as_json)
    elif name is None:
        raise ConfigError(f"name a recipe: {', '.join(_names())}")
    else:
        values = read_recipe(name)
        load_config(params, values)
        write_values(params, values)
        if as_json:
            show({"params": params, "recipe": name, "values": values}, as_json=True)
        else:
            typer.echo(f"{params}: {len(values)} values of recipe {name}; `dvc repro` does the rest")


def read_recipe(name: str) -> dict[str, Any]:
    """Dotted names and values of one recipe.

    Raises:
        ConfigError: no such recipe, it is no YAML, or not a mapping.
    """
    path = RECIPES / f"{name}.yaml"
    if name not in _names():
        raise ConfigError(f"{path}: no such recipe; there are {', '.join(_names())}")
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: need dotted names and values, as `train.lr: 0.001`")
    return values


def write_values(params: Path, values: Mapping[str, Any], *, comment: str = "") -> None:
    """Set dotted names in a YAML file, keeping its comments, order and layout.

    Args:
        comment: stands at the end of each line that is set.
    """
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 160
    editor.indent(mapping=2, sequence=4, offset=2)
    tree = editor.load(params.read_text())
    for name, value in values.items():
        *parents, leaf = name.split(".")
        node = tree
        for part in parents:
            node = node[part]
        node[leaf] = value
        if comment:
            node.yaml_add_eol_comment(comment, leaf)
    with atomic_path(params) as temporary:
        editor.dump(tree, temporary)


def _list(values: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(values, as_json=True)
        return
    for key, value in values.items():
        typer.echo(f"{key}: {value}")


def _names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))
