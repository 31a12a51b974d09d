"""One trial in several processes: torchrun as the child of a worker, and what each of its processes runs.

The leading process reports to the study after each validation and decides; all leave after the same step.

Run: python -m model.search.team task.json --processes 2
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from model.config import SearchConfig, TrainRun, parse_section
from model.errors import FaceError
from model.search.places import Places
from model.search.pruning import make_pruner
from model.search.study import load_study
from model.search.training import Judge
from model.storage import read_json
from model.train.failure import FAILURE_FILE, read, record
from model.train.loop import Stop, never, train
from model.train.orphan import end_with_parent

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the processes, or be one of them; the exit code tells the kind of failure."""
    parser = argparse.ArgumentParser(prog="python -m model.search.team", description=__doc__.splitlines()[0])
    parser.add_argument("task", type=Path, help="JSON written by the worker")
    parser.add_argument("--processes", type=int, help="start as many; without it, be one of them")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if options.processes:
        return _lead(options.task, options.processes)
    try:
        _take_part(read_json(options.task))
    except FaceError as error:
        logger.error("%s", error)
        record(error)
        return error.exit_code
    except Exception as error:  # the worker learns of it through the record
        logger.exception("the trial ended by a failure nobody foresaw")
        record(error)
        return 1
    return 0


def _lead(path: Path, processes: int) -> int:
    end_with_parent()
    task = read_json(path)
    # A team whose worker was killed may still be writing its checkpoint.
    with Places(Path(task["root"]), task["search"]["study"]).team(task["origin"]):
        try:
            torchrun(["--standalone", f"--nproc-per-node={processes}", "-m", "model.search.team", str(path)])
        except ChildFailedError as error:
            failure = read(Path(os.environ.get(FAILURE_FILE, "")))
            rank, first = error.get_first_failure()
            logger.error("%s", failure.message if failure else f"process {rank} ended with code {first.exitcode}")
            return failure.exit_code if failure else 1
    return 0


def _take_part(task: dict[str, Any]) -> None:
    run = parse_section(TrainRun, task["run"], name="run")
    stop = _judge(task, run) if os.environ.get("RANK") == "0" else never
    train(run, shards=Path(task["shards"]), out=Path(task["out"]), stop=stop)


def _judge(task: dict[str, Any], run: TrainRun) -> Stop:
    config = parse_section(SearchConfig, task["search"], name="search")
    if config.pruner == "none":
        return never
    study = load_study(config, Path(task["root"]))
    study.pruner = make_pruner(config, run.train.epochs)
    trial_id = study.get_trials(deepcopy=False)[task["number"]]._trial_id
    return Judge(optuna.Trial(study, trial_id), config)


if __name__ == "__main__":
    sys.exit(main())
