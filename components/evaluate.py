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
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Write evaluation.json, plots and the page; headline values become metrics of the run."""
    from pathlib import Path

    from model.config import EvaluateConfig, parse_section
    from model.evaluation.evaluate import evaluate as run_evaluation

    report = run_evaluation(
        parse_section(EvaluateConfig, section, name="evaluate"),
        weights=Path(weights.path),
        manifest=Path(valid_manifest.path) / "manifest.valid.parquet",
        data=Path(data.path),
        reports=Path(reports.path),
        predictions=Path(reports.path) / "predictions.parquet",
        seed=seed,
    )
    metrics.metadata.update(report.summary)
    reports.metadata["data_digest"] = data_digest
