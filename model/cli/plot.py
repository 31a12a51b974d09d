"""`rmtl plot`: draws the search, and names the pictures of the evaluation."""

import json
from pathlib import Path
from typing import Annotated

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config
from model.errors import ConfigError


@app.command()
def plot(
    what: Annotated[str, typer.Argument(help="search or evaluation")],
    params: Params = PARAMS_FILE,
    as_json: AsJson = False,
) -> None:
    """Draw front, history and importances of the search (reports/search.html), or list the plots of the evaluation.

    Example: rmtl plot search
    """
    match what:
        case "search":
            paths = _search(params)
        case "evaluation":
            paths = _evaluation()
        case _:
            raise typer.BadParameter("need search or evaluation")
    names = [str(path) for path in paths]
    for line in [json.dumps(names)] if as_json else names:
        typer.echo(line)


def _search(params: Path) -> list[Path]:
    from model.search.report import write_report
    from model.search.study import load_study

    config = read_config(params, None).search
    return write_report(load_study(config, workspace.SEARCH), config, workspace.REPORTS)


def _evaluation() -> list[Path]:
    folder = workspace.REPORTS / "plots"
    if not (plots := sorted(folder.glob("*.png"))):
        raise ConfigError(f"{folder}: holds no plots; run `rmtl evaluate`")
    return plots
