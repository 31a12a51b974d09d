"""What study, storage and MLflow cost beside training, and what a second worker brings.

The search runs on real shards with short trials: one worker of one thread, two workers of one thread, and one worker of
two threads. Overhead is the time of the workers that no training used, of their whole time, and with it the time that
the watching process spent on MLflow; with the start, importing is included. `per_trial_s` is what each trial adds to
its own training, from the trials' own times.

Run: python -m benchmarks.search_overhead --project . --trials 6 --out docs/results/search_overhead.json
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from benchmarks.entry import run, say
from benchmarks.method.plan import ROOT
from model.config import Config, load_config
from model.registry.study_runs import StudyRuns
from model.search.crew import run_crew
from model.search.places import Places
from model.search.study import load_study
from model.search.training import Job
from model.search.trials import SECONDS, all_trials, done
from model.storage import write_json

GOAL = 0.05
FASTER = 1.7


def main() -> None:
    """Measure each way once, each from an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="folder with artifacts/shards (default: here)")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--trials", type=int, default=6, help="of one worker; of two as many each")
    parser.add_argument("--epochs", type=int, help="of a trial; else those of search.overrides")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    extra = {} if options.epochs is None else {"train.epochs": options.epochs}
    config, shards = load_config(options.params), options.project / "artifacts" / "shards"
    ways = {
        "1 worker, 1 thread": (1, 1, options.trials),
        "2 workers, 1 thread": (2, 1, 2 * options.trials),
        "1 worker, 2 threads": (1, 2, options.trials),
    }
    found = {
        name: measure(with_threads(config, threads, trials, extra), shards.resolve(), workers)
        for name, (workers, threads, trials) in ways.items()
    }
    one, two, wide = found.values()
    report = {
        "cpus": len(os.sched_getaffinity(0)),
        "ways": found,
        "goal": GOAL,
        "speed_of_two_workers": round(two["trials_a_minute"] / one["trials_a_minute"], 2),
        "speed_of_two_threads": round(wide["trials_a_minute"] / one["trials_a_minute"], 2),
    }
    write_json(options.out, report)
    for name, values in found.items():
        say(f"{name}: {values}")
    say(f"overhead of one worker: {100 * one['overhead']:.1f} % (goal {100 * GOAL:g})")
    say(f"two workers finish {report['speed_of_two_workers']:g} times the trials of one (goal {FASTER:g})")
    say(f"one worker of two threads {report['speed_of_two_threads']:g} times (goal: no more than two workers)")


def with_threads(config: Config, threads: int, trials: int, extra: dict[str, int]) -> Config:
    """The configuration of one way."""
    overrides = {**config.search.overrides, "train.threads": threads, **extra}
    section = config.search.model_copy(update={"trials": trials, "overrides": overrides})
    return config.model_copy(update={"search": section})


def measure(config: Config, shards: Path, workers: int) -> dict[str, Any]:
    """Run the search as `rmtl search` does, with its own MLflow store."""
    with tempfile.TemporaryDirectory() as scratch:
        places = Places(Path(scratch) / "search", config.search.study)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        os.environ["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = f"{scratch}/mlartifacts"
        job = Job(config.run, config.search, shards, places)
        runs, tracking = StudyRuns(config.register_.experiment, config.search, places, digest=""), [0.0]

        def watch(trials: Sequence[FrozenTrial]) -> None:
            began = time.monotonic()
            runs.tell(trials)
            tracking[0] += time.monotonic() - began

        began = time.monotonic()
        run_crew(job, workers, watch)
        wall = time.monotonic() - began
        trials = done(all_trials(load_study(config.search, places.root)))
    return summarise(trials, workers=workers, wall_s=wall, tracking_s=tracking[0])


def summarise(trials: Sequence[FrozenTrial], *, workers: int, wall_s: float, tracking_s: float) -> dict[str, Any]:
    """Shares of the workers' time, and seconds a trial."""
    training = sum(trial.user_attrs[SECONDS] for trial in trials)
    own = [_seconds(trial) - trial.user_attrs[SECONDS] for trial in trials]
    ends = [trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete]
    starts = [trial.datetime_start.timestamp() for trial in trials if trial.datetime_start]
    busy = max(ends) - min(starts)
    return {
        "trials": len(trials),
        "wall_s": round(wall_s, 2),
        "training_s": round(training, 2),
        "trial_s": round(training / len(trials), 2),
        "per_trial_s": round(statistics.median(own), 3),
        "tracking_s": round(tracking_s / len(trials), 3),
        "overhead": round(1 - (training - tracking_s) / (workers * busy), 4),
        "overhead_with_start": round(1 - training / (workers * wall_s), 4),
        "trials_a_minute": round(60 * len(trials) / busy, 2),
    }


def _seconds(trial: FrozenTrial) -> float:
    assert trial.duration is not None
    return trial.duration.total_seconds()


if __name__ == "__main__":
    run(main)
