"""`rmtl search`: Optuna over the loss weights, one or several workers on one study."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Overrides, Params, app, read_config, show
from model.cli.recipe import write_values
from model.schema import to_json
from model.storage import write_json

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from model.search.pick import SearchResult


@app.command()
def search(
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    *,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine.")] = 1,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Finished trials; else search.trials.")] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Processes that train one trial together.")] = 1,
    apply: Annotated[bool, typer.Option("--apply", help="Write the choice into the params file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search the loss weights on held-out faces; a study of the same name goes on where it stopped.

    The choice is written to reports/search.json, and to reports/search.yaml in the form of a recipe; every trial to
    MLflow, below a run of the study. In a browser, also while the search runs (extra `dashboard`):
    optuna-dashboard sqlite:///artifacts/search/study.db

    Example: rmtl search --trials 12 --workers 2
    """
    from model.registry.study_runs import StudyRuns
    from model.search.crew import run_crew
    from model.search.places import Places
    from model.search.study import digest_of
    from model.search.training import Job

    config = read_config(params, overrides)
    section = config.search.model_copy(update={"trials": trials or config.search.trials})
    places = Places(workspace.SEARCH, section.study)
    job = Job(config.run, section, workspace.SHARDS, places, processes)
    runs = StudyRuns(config.register_.experiment, section, places, digest=digest_of(job))
    with tqdm(total=section.trials, unit="trial", desc=section.study, disable=None) as bar:

        def watch(found: "Sequence[FrozenTrial]") -> None:
            _tell(bar, found, job)
            runs.tell(found)

        result = run_crew(job, workers, watch)
    runs.close(result)
    _write(result, params if apply else None)
    summary = {**result.overrides, **result.values, "trial": result.trial, "trials": result.finished}
    show(to_json(result) if as_json else summary, as_json=as_json)


def _tell(bar: "tqdm[Any]", trials: "Sequence[FrozenTrial]", job: Any) -> None:
    """Finished trials, and the one that would be picked now."""
    from model.search.pick import best_so_far
    from model.search.trials import done

    bar.n = len(done(trials))
    best = best_so_far(trials, job.config)
    bar.set_postfix_str(best, refresh=False)
    bar.refresh()


def _write(result: "SearchResult", params: Path | None) -> None:
    from model.search.pick import write_overlay

    write_json(workspace.SEARCH_REPORT, to_json(result))
    write_overlay(result, workspace.SEARCH_REPORT.with_suffix(".yaml"))
    if params is not None:
        write_values(params, result.overrides, comment=result.origin)
