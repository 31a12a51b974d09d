"""What the ways to run the training pipeline cost: seconds beside the steps' own work, and of a rerun without change.

Run: python -m benchmarks.runners --runners subprocess docker --out docs/results/runners.json
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from model.cli.recipe import write_values
from model.storage import read_json, write_json

ROOT = Path(__file__).parents[1]
QUICK = {
    "train.epochs": 1,
    "train.steps_per_epoch": 12,
    "evaluate.bootstrap": 20,
    "register.gate.max_nme": 1000.0,
    "register.gate.min_macro_f1": 0.0,
    "register.gate.simple_nme_gain": None,
    "register.gate.simple_f1_gain": None,
}


def main() -> None:
    """Measure each runner in turn, from an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runners", nargs="+", choices=["subprocess", "docker"], default=["subprocess"])
    parser.add_argument("--repeats", type=int, default=3, help="reruns without change")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write_json(options.out, {runner: measure(runner, options.repeats) for runner in options.runners})


def measure(runner: str, repeats: int) -> dict[str, Any]:
    """Wall-clock seconds of a first run and of reruns; `overhead_a_step` is what lies outside the steps' own work."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("params.yaml", "dvc.yaml", "data.dvc"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "benchmarks/store", folder / "store")
        write_values(folder / "params.yaml", QUICK)
        first_s, report = run(folder, runner)
        reruns = [run(folder, runner) for _ in range(repeats)]
    return {
        "steps": len(report["steps"]),
        "first_run_s": round(first_s, 1),
        "work_s": round(report["seconds"], 1),
        "overhead_a_step_s": round((first_s - report["seconds"]) / (len(report["steps"]) + 1), 2),
        "cached_rerun_s": round(statistics.median(seconds for seconds, _ in reruns), 1),
        "steps_of_a_rerun": max(len(again["steps"]) for _, again in reruns),
    }


def run(folder: Path, runner: str) -> tuple[float, Any]:
    """Seconds and report of one run."""
    command = [sys.executable, "-m", "pipelines", "run", "--runner", runner, "--remote", "store"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.monotonic() - began
    return seconds, read_json(Path(done.stdout.strip()).with_name("report.json"))


if __name__ == "__main__":
    main()
