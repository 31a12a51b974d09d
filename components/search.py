"""Search over the loss weights: one of several workers on one study, then the choice."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def search_worker(
    train: dict[str, Any],
    section: dict[str, Any],
    worker: int,
    seed: int,
    shards: dsl.Input[dsl.Dataset],
    trials: dsl.Output[dsl.Artifact],
) -> None:
    """Run trials until the study of `RMTL_SEARCH_STORAGE` has enough; `worker` makes this a task of its own."""
    from pathlib import Path

    from components.step import step
    from model.config import SearchConfig, parse_run, parse_section
    from model.data.faces import read_index
    from model.schema import to_json
    from model.search.storage import common_storage
    from model.search.study import search, study_digest
    from model.source import training_digest
    from model.storage import write_json

    with step("search", inputs=[shards], outputs=[trials]):
        common_storage()
        config, run = parse_section(SearchConfig, section, name="search"), parse_run(train, seed=seed)
        # What is cached was made by one code: another one begins a study of its own.
        digest = study_digest(run, config, read_index(Path(shards.path)), code=training_digest())
        config, out = config.named(digest), Path(trials.path)
        result = search(run, config, shards=Path(shards.path), folder=out)
        write_json(out / "search.json", to_json(result))
        trials.metadata["study"] = config.study


@component
def choose(
    section: dict[str, Any],
    register: dict[str, Any],
    seed: int,
    trials: dsl.Input[list[dsl.Artifact]],
    report: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> dict[str, Any]:
    """Returns the dotted names and values of the trial picked from the study's front; MLflow is told of the study."""
    from pathlib import Path

    from components.pages import search_page
    from components.step import step
    from model.config import RegisterConfig, SearchConfig, parse_section
    from model.registry.study_runs import StudyRuns
    from model.schema import to_json
    from model.search.pick import summarise
    from model.search.places import Places
    from model.search.storage import common_storage
    from model.search.study import load_study
    from model.search.trials import all_trials
    from model.storage import write_json

    with step("choose", inputs=trials, outputs=[report, summary]):
        common_storage()
        name = trials[0].metadata["study"]
        config = parse_section(SearchConfig, section, name="search").model_copy(update={"study": name})
        study = load_study(config, Path(trials[0].path))
        result = summarise(study, config)
        experiment = parse_section(RegisterConfig, register, name="register").experiment
        runs = StudyRuns(experiment, config, *(Places(Path(worker.path), name) for worker in trials), digest="")
        runs.tell(all_trials(study))
        runs.close(result)
        write_json(Path(report.path), to_json(result))
        Path(summary.path).write_text(search_page(result))
    return result.overrides
