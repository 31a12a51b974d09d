"""A folder of small benchmarks on its way through index and validate."""

import csv
from dataclasses import dataclass
from pathlib import Path

from model.config.data import DriftConfig, IndexConfig, LeakageConfig, Source, ValidateConfig
from model.data.index import build_index
from model.data.manifest import read_manifest
from model.data.validate import validate_manifest
from model.schema import FaceRecord, ValidationReport

CONFIG = ValidateConfig(
    budget=0.01,
    min_side=16,
    max_pixels=100_000,
    margin=0.3,
    shape_distance=0.6,
    numbering_gain=0.03,
    turn=55.0,
    box_overlap=0.7,
    near_duplicate_bits=4,
    near_duplicate_correlation=0.9,
    leakage=LeakageConfig(exact="stop", near="aside", group="stop"),
    expected={},
    drift=DriftConfig(reference="accepted.json", psi=0.1, alpha=0.05, action="warn"),
)


@dataclass
class Bench:
    """A folder of benchmarks on its way through index and validate."""

    root: Path

    def index(self, *sources: Source, holdout: float = 0.0, exclude: tuple[str, ...] = ()) -> list[FaceRecord]:
        config = IndexConfig(sources=sources, holdout=holdout, exclude=exclude)
        build_index(config, data=self.root, out=self.root / "artifacts", seed=0)
        return read_manifest(self.root / "artifacts/manifest.parquet")

    def validate(self, **changes: object) -> ValidationReport:
        return validate_manifest(
            CONFIG.model_copy(update=changes),
            manifest=self.root / "artifacts/manifest.parquet",
            data=self.root,
            artifacts=self.root / "artifacts",
            reports=self.root / "reports",
        )

    def quarantine(self) -> dict[str, tuple[str, str]]:
        """Rule and reason by record id."""
        with (self.root / "artifacts/quarantine.csv").open(newline="") as stream:
            return {row["record_id"]: (row["rule"], row["reason"]) for row in csv.DictReader(stream)}

    def valid(self) -> list[FaceRecord]:
        return read_manifest(self.root / "artifacts/manifest.valid.parquet")
