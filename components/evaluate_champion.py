"""Step 7: measure the champion on the same faces, to compare it with the new weights."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def evaluate_champion(
    section: dict[str, Any],
    register: dict[str, Any],
    seed: int,
    data_digest: str,
    data: dsl.Input[dsl.Dataset],
    valid_manifest: dsl.Input[dsl.Dataset],
    reports: dsl.Input[dsl.Artifact],
    champion: dsl.Output[dsl.Artifact],
) -> None:
    """Write the champion's evaluation and its comparison with `reports`; who it is alone where there is none."""
    from pathlib import Path

    from components.step import step
    from model.config import EvaluateConfig, RegisterConfig, parse_section
    from model.registry.challenge import Faces
    from model.registry.challenge import evaluate_champion as run_evaluation

    with step("evaluate-champion", inputs=[data, valid_manifest, reports], outputs=[champion]):
        about = run_evaluation(
            parse_section(EvaluateConfig, section, name="evaluate"),
            parse_section(RegisterConfig, register, name="register").name,
            Faces(Path(valid_manifest.path) / "manifest.valid.parquet", Path(data.path), seed),
            evaluation=Path(reports.path) / "evaluation.json",
            predictions=Path(reports.path) / "predictions.parquet",
            out=Path(champion.path),
        )
        champion.metadata.update(data_digest=data_digest, version=about["version"] or "none")
