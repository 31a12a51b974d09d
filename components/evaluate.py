"""Step 6: measure the weights."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def evaluate(
    section: dict[str, Any],
    seed: int,
    data_digest: str,
    data: dsl.Input[dsl.Dataset],
    valid_manifest: dsl.Input[dsl.Dataset],
    weights: dsl.Input[dsl.Model],
    reports: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Write evaluation.json, plots and the page; headline values and the confusion matrix go to the run's page."""
    import shutil
    from pathlib import Path

    from components.pages import confusion_matrix
    from components.step import step
    from model.config import EvaluateConfig, parse_section
    from model.evaluation.evaluate import evaluate as run_evaluation
    from model.storage import write_json

    with step("evaluate", inputs=[data, valid_manifest, weights], outputs=[reports, page, metrics, confusion]):
        report = run_evaluation(
            parse_section(EvaluateConfig, section, name="evaluate"),
            weights=Path(weights.path),
            manifest=Path(valid_manifest.path) / "manifest.valid.parquet",
            data=Path(data.path),
            reports=Path(reports.path),
            predictions=Path(reports.path) / "predictions.parquet",
            seed=seed,
        )
        shutil.copyfile(Path(reports.path) / "evaluation.html", page.path)
        matrix = confusion_matrix(Path(reports.path))
        for name, value in report.summary.items():
            metrics.log_metric(name, value)
        confusion.log_confusion_matrix(*matrix)
        # The page shows the metadata; a cache that finds no file takes the whole step for undone.
        write_json(Path(metrics.path), report.summary)
        write_json(Path(confusion.path), matrix)
        reports.metadata.update(data_digest=report.data_digest, weights_digest=report.weights_digest)
