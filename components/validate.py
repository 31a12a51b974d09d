"""Step 2: check the manifest by rule and move bad rows to quarantine."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def validate(
    section: dict[str, Any],
    data_version: str,
    data: dsl.Input[dsl.Dataset],
    manifest: dsl.Input[dsl.Dataset],
    valid_manifest: dsl.Output[dsl.Dataset],
    reports: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Write the valid manifest and the reports; returns the digest of the valid faces."""
    from pathlib import Path

    from components.pages import validation_page
    from components.step import step
    from model.config import ValidateConfig, parse_section
    from model.data.validate import validate_manifest

    with step("validate", inputs=[data, manifest], outputs=[valid_manifest, reports, summary]):
        report = validate_manifest(
            parse_section(ValidateConfig, section, name="validate"),
            manifest=Path(manifest.path) / "manifest.parquet",
            data=Path(data.path),
            artifacts=Path(valid_manifest.path),
            reports=Path(reports.path),
        )
        Path(summary.path).write_text(validation_page(report))
        valid_manifest.metadata.update(data_version=data_version, data_digest=report.data_digest)
    return report.data_digest
