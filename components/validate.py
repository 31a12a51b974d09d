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
) -> str:
    """Write the valid manifest and the reports; returns the digest of the valid faces."""
    from pathlib import Path

    from model.config import ValidateConfig, parse_section
    from model.data.validate import validate_manifest

    report = validate_manifest(
        parse_section(ValidateConfig, section, name="validate"),
        manifest=Path(manifest.path) / "manifest.parquet",
        data=Path(data.path),
        artifacts=Path(valid_manifest.path),
        reports=Path(reports.path),
    )
    valid_manifest.metadata["data_version"] = data_version
    return report.data_digest
