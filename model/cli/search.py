"""`rmtl search`: Optuna over the loss weights, one or several workers on one study."""

import subprocess
import sys
from typing import Annotated

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.errors import FaceError
from model.schema import to_json
from model.storage import write_json


@app.command()
def search(
    params: Params = PARAMS_FILE,
    workers: Annotated[int, typer.Option("--workers", min=1, max=4, help="Processes on this machine.")] = 1,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Finished trials; else search.trials.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search the loss weights on held-out faces; a study of the same name goes on where it stopped.

    Example: rmtl search --trials 12 --workers 2
    """
    from model.search.study import search as run_search

    config = read_config(params, None)
    wanted = trials or config.search.trials
    if workers > 1:
        _run_workers(workers, [f"--params={params}", f"--trials={wanted}"])
    result = run_search(config.run, config.search, shards=workspace.SHARDS, folder=workspace.SEARCH, trials=wanted)
    write_json(workspace.SEARCH_REPORT, to_json(result))
    shown = to_json(result) if as_json else {**result.overrides, **result.values, "trials": result.finished}
    show(shown, as_json=as_json)


def _run_workers(workers: int, arguments: list[str]) -> None:
    """Run `workers` single searches on the same study and wait for all of them."""
    command = [sys.executable, "-c", "from model.cli import main; main()", "search", "--json", *arguments]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(workers)]
    codes = [process.wait() for process in running]
    if any(codes):
        raise FaceError(f"search workers ended with exit codes {codes}; run the command again to go on")
