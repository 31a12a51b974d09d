"""After every run, failed or not: what ran, how it ended, and what it cost."""

from kfp import dsl

from components.base import component


@component
def report(
    status: dsl.PipelineTaskFinalStatus, who: str, document: dsl.Output[dsl.Artifact], page: dsl.Output[dsl.Markdown]
) -> None:
    """Write the run's report from the journal of its steps."""
    from pathlib import Path

    from components.journal import Journal
    from components.pages import run_page, run_report
    from components.step import step
    from model.storage import write_json

    with step("report", outputs=[document, page]):
        found = run_report(
            Journal.from_environment().entries(), state=status.state, error=status.error_message, who=who
        )
        write_json(Path(document.path), found)
        Path(page.path).write_text(run_page(found))
