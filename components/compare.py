"""Ablation rows side by side."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def compare(
    names: list[str],
    rows: list[dict[str, Any]],
    reports: dsl.Input[list[dsl.Artifact]],
    table: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Write the rows' headline values as JSON and as a table, in the order of `rows`."""
    from pathlib import Path

    from components.pages import comparison, comparison_page
    from components.step import step
    from model.storage import write_json

    with step("compare", inputs=reports, outputs=[table, summary]):
        compared = comparison(names, rows, [Path(item.path) / "evaluation.json" for item in reports])
        write_json(Path(table.path), compared)
        Path(summary.path).write_text(comparison_page(compared))
