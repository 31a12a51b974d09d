"""`rmtl plot`: draws the search, and names the pictures of the evaluation."""

from pathlib import Path
from typing import Annotated

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, Params, app, read_config


@app.command()
def plot(
    what: Annotated[str, typer.Argument(help="search or evaluation")],
    params: Params = PARAMS_FILE,
) -> None:
    """Draw the Pareto front and importances of the search, or list the plots that the evaluation drew.

    Example: rmtl plot search
    """
    match what:
        case "search":
            paths = _search(params)
        case "evaluation":
            paths = _evaluation()
        case _:
            raise typer.BadParameter("need search or evaluation")
    for path in paths:
        typer.echo(path)


def _search(params: Path) -> list[Path]:
    from model.search.plots import draw_study
    from model.search.study import open_study

    config = read_config(params, None)
    study = open_study(config.search, workspace.SEARCH, seed=config.seed)
    return draw_study(study, workspace.REPORTS / "search")


def _evaluation() -> list[Path]:
    return sorted((workspace.REPORTS / "plots").glob("*.png"))
