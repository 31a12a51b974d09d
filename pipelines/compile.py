"""Compile the pipelines to the YAML that a Kubeflow server takes."""

from pathlib import Path

from kfp import compiler

from model.storage import atomic_path
from pipelines.training import NAME, training


def compile_all(folder: Path) -> list[Path]:
    """Write one YAML file a pipeline; returns their paths."""
    target = folder / f"{NAME}.yaml"
    with atomic_path(target) as temporary:
        compiler.Compiler().compile(training, str(temporary))
    return [target]
