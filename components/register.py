"""Step 8: add the weights to the registry and judge them by the gate."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def register(
    section: dict[str, Any],
    data_digest: str,
    data_version: str,
    weights: dsl.Input[dsl.Model],
    reports: dsl.Input[dsl.Artifact],
    champion: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Returns the gate's word, `pass` or `fail`; `approval` where it passed and somebody has to approve it."""
    from pathlib import Path

    from components.pages import registration_page
    from components.step import step
    from model.config import RegisterConfig, parse_section
    from model.registry.registry import register_version

    with step("register", inputs=[weights, reports, champion], outputs=[registration, summary]):
        config = parse_section(RegisterConfig, section, name="register")
        version = register_version(
            config,
            weights=Path(weights.path),
            evaluation=Path(reports.path) / "evaluation.json",
            champion_evaluation=Path(champion.path) / "evaluation.json",
            data_version=data_version,
            out=Path(registration.path),
        )
        Path(summary.path).write_text(registration_page(version, approval=config.gate.approval))
        registration.metadata.update(version=version.version, data_digest=data_digest, gate=version.gate)
    return "approval" if version.gate == "pass" and config.gate.approval else version.gate
