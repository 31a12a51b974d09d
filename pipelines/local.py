"""Run the training pipeline on this machine with kfp's own runner."""

import shutil
import time
from pathlib import Path
from typing import Any

from kfp import local

from model.errors import FaceError
from pipelines.training import training


def run_training(arguments: dict[str, Any], *, root: Path) -> Path:
    """Run each step as a process of this environment; the evaluation ends as `root`/<run>/evaluation.json.

    Raises:
        FaceError: a step failed, or left no evaluation.
    """
    run = root / time.strftime("run-%Y%m%d-%H%M%S")
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(run / "steps"), raise_on_error=False)
    training(**arguments)
    found = sorted(run.glob("steps/*/evaluate/reports/evaluation.json"))
    if not found:
        raise FaceError(f"{run}: the pipeline left no evaluation; the first failed step is the last one under steps/")
    shutil.copyfile(found[-1], run / "evaluation.json")
    return run / "evaluation.json"
