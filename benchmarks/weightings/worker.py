"""One run in a process of its own: tune a method within the budget, or train its best in full and measure it.

Run: python -m benchmarks.weightings.worker famo-tune-0 --project . --data /data/runs --results docs/results/weightings
"""

import argparse
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from platform import python_version
from typing import Any

from optuna.trial import FrozenTrial

from benchmarks.method.measure import hear
from benchmarks.method.plan import ROOT, config_digest
from benchmarks.weightings.plan import (
    FULL,
    PLAN_FILE,
    TUNE,
    Ground,
    Plan,
    Run,
    load_plan,
    planned_runs,
    run_config,
    tune_config,
)
from model.config import overlay
from model.data.faces import read_index
from model.data.manifest import read_manifest
from model.errors import ConfigError, FaceError
from model.search.pick import metrics_of
from model.search.study import load_study, search
from model.search.trials import SECONDS, done
from model.storage import read_json, write_json
from model.train.checkpoint import drop_foreign, origin_of
from model.train.loop import train
from model.train.orphan import end_with_parent
from model.weights import git_revision

logger = logging.getLogger(__name__)

FORMAT = 1
MOST = 3
"""A method whose trials are much cheaper than those of the budget's method ends after so many times their number."""

_CODE = ("model", "benchmarks/weightings", "recipes", "params.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one run; the exit code of its failure, 143 after SIGTERM with the checkpoint written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weightings.worker", description=__doc__.splitlines()[0])
    parser.add_argument("key", help="name of a planned run")
    parser.add_argument("--study", type=Path, default=PLAN_FILE, help="plan")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--data", type=Path, required=True, help="folder of running runs")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--project", type=Path, required=True, help="folder with artifacts/ and data/")
    values = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        execute(values.pop("key"), Ground(**values))
    except FaceError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


def execute(key: str, ground: Ground) -> None:
    """Do the run of a name, or go on where it was cut off; its folder is deleted at the end.

    Raises:
        ConfigError: the plan has no such run, its configuration is wrong, or the method is not tuned yet.
        FaceError: whatever search, training and weights raise.
    """
    plan = load_plan(ground.study)
    runs = {run.key: run for stage in (TUNE, FULL) for run in planned_runs(plan, stage)}
    if key not in runs:
        raise ConfigError(f"{ground.study}: no run {key}")
    run = runs[key]
    found = tune(plan, run, ground) if run.data == TUNE else train_best(plan, run, ground)
    identity = {"format": FORMAT, "key": run.key, "method": run.row, "stage": run.data, "seed": run.seed}
    write_json(ground.result(run), {**identity, **_origin(ground), **found})
    shutil.rmtree(ground.folder(run))


def tune(plan: Plan, run: Run, ground: Ground) -> dict[str, Any]:
    """Cheap trials until the budget is spent, and the one that is picked."""
    config, folder = run_config(plan, run, ground.params), ground.folder(run)
    budget = None if run.row == plan.budget_of else _budget(plan, ground)
    number, trials, picked = (plan.trials if budget is None else 1), [], None
    while True:
        picked = search(config.run, tune_config(config, number), shards=ground.shards, folder=folder)
        trials = done(load_study(config.search, folder).get_trials(deepcopy=False))
        if budget is None or picked.seconds >= budget or len(trials) >= MOST * plan.trials:
            break
        number = len(trials) + 1
    return {
        "config_digest": config_digest(config),
        "budget_s": budget,
        "seconds": picked.seconds,
        "space": [item.model_dump() for item in config.search.space],
        "trials": [_told(trial) for trial in trials],
        "picked": {**asdict(picked), "front": [item["trial"] for item in picked.front]},
    }


def train_best(plan: Plan, run: Run, ground: Ground) -> dict[str, Any]:
    """A full training with what was tuned, on the faces of the split of the plan."""
    tuned = _tuned(plan, run, ground)
    config, folder = run_config(plan, run, ground.params), ground.folder(run)
    full = overlay(config.run, tuned)
    drop_foreign(folder, origin_of(full, read_index(ground.shards)))
    began = time.monotonic()
    trained = train(full, shards=ground.shards, out=folder)
    seconds = time.monotonic() - began
    records = [record for record in read_manifest(ground.manifest) if record.split == plan.split]
    heard = hear(folder, records, data=ground.project / "data")
    return {
        "overrides": {**plan.all_methods[run.row].overrides, **tuned},
        "seconds": round(seconds, 1),
        "best_epoch": trained.epoch,
        "held_out": {name: round(value, 4) for name, value in trained.metrics.items() if name.startswith("val/")},
        "split": plan.split,
        "faces": len(records),
        "measured": heard.summary("final"),
    }


def _tuned(plan: Plan, run: Run, ground: Ground) -> dict[str, Any]:
    """What the method's tuning picked."""
    tune = Run(TUNE, 1.0, run.row, 0)
    path = ground.result(tune)
    if not path.exists():
        raise ConfigError(f"{path}: the method is not tuned yet")
    told = read_json(path)
    digest = config_digest(run_config(plan, tune, ground.params))
    if told["config_digest"] != digest:
        raise ConfigError(
            f"{path}: tuned with another plan or params.yaml ({told['config_digest']}, now {digest}); "
            "delete it and the full runs of the method, or take the former ones"
        )
    return dict(told["picked"]["overrides"])


def _budget(plan: Plan, ground: Ground) -> float:
    path = ground.result(Run(TUNE, 1.0, plan.budget_of, 0))
    if not path.exists():
        raise ConfigError(f"{path}: the method that sets the budget comes first")
    return float(read_json(path)["seconds"])


def _told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "values": metrics_of(trial),
        "params": {name: float(f"{value:.6g}") for name, value in trial.params.items()},
        "seconds": trial.user_attrs.get(SECONDS),
    }


def _origin(ground: Ground) -> dict[str, Any]:
    import optuna
    import torch

    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--", *_CODE]
    changes = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "data_digest": read_index(ground.shards)["data_digest"],
        "code": {"git": git_revision(), "dirty": bool(changes.returncode or changes.stdout.strip())},
        "versions": {"python": python_version(), "torch": torch.__version__, "optuna": optuna.__version__},
    }


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
