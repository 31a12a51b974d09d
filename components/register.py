"""Step 7: add the weights to the registry and judge them by the gate."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def register(
    section: dict[str, Any],
    data_digest: str,
    weights: dsl.Input[dsl.Model],
    reports: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Returns the gate's word, `pass` or `fail`."""
    from pathlib import Path

    from components.pages import registration_page
    from components.step import step
    from model.config import RegisterConfig, parse_section
    from model.registry.registry import register_version

    with step("register", inputs=[weights, reports], outputs=[registration, summary]):
        version = register_version(
            parse_section(RegisterConfig, section, name="register"),
            weights=Path(weights.path),
            evaluation=Path(reports.path) / "evaluation.json",
            out=Path(registration.path),
        )
        Path(summary.path).write_text(registration_page(version))
        registration.metadata.update(version=version.version, data_digest=data_digest, gate=version.gate)
    return version.gate
