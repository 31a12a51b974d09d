"""Compile the pipelines to the YAML that a Kubeflow server takes."""

from pathlib import Path
from typing import Any

from kfp import compiler

from model.storage import atomic_path
from pipelines import ablation, search, training

PIPELINES: dict[str, tuple[str, Any]] = {
    "training": (training.NAME, training.training),
    "search": (search.NAME, search.search),
    "ablation": (ablation.NAME, ablation.ablation),
}
"""Short name to compiled name and function."""


def compile_all(folder: Path) -> list[Path]:
    """Write one YAML file a pipeline; returns their paths."""
    return [compile_pipeline(short, folder) for short in PIPELINES]


def compile_pipeline(short: str, folder: Path) -> Path:
    """Write the YAML file of one pipeline."""
    name, function = PIPELINES[short]
    target = folder / f"{name}.yaml"
    with atomic_path(target) as temporary:
        compiler.Compiler().compile(function, str(temporary))
    return target
