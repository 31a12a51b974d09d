"""`rmtl search`: Optuna over the loss weights, one or several workers on one study."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from ruamel.yaml import YAML
from tqdm import tqdm

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Overrides, Params, app, read_config, show
from model.schema import to_json
from model.storage import atomic_path, write_json

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from model.search.pick import SearchResult


@app.command()
def search(
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    *,
    workers: Annotated[int, typer.Option("--workers", min=1, max=4, help="Processes on this machine.")] = 1,
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
    from model.search.training import Job

    config = read_config(params, overrides)
    section = config.search.model_copy(update={"trials": trials or config.search.trials})
    places = Places(workspace.SEARCH, section.study)
    job = Job(config.run, section, workspace.SHARDS, places, processes)
    runs = StudyRuns(config.register_.experiment, section, places)
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
        write_commented(params, result.overrides, result.origin)


def write_commented(params: Path, values: dict[str, float], comment: str) -> None:
    """Set dotted names in a YAML file, each with a comment at the end of its line; all else stays as it is."""
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
        node.yaml_add_eol_comment(comment, leaf)
    with atomic_path(params) as temporary:
        editor.dump(tree, temporary)
