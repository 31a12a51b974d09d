"""Whether cheap trials rank weights as full trainings do: the same points trained both ways, and how ranks agree.

Full trainings are those of the comparison of weightings (`overrides` of its plan).

Run: python -m benchmarks.search_ranking run --data /data/ranking --points 12 --minutes 110
Run: python -m benchmarks.search_ranking report
"""

import argparse
import json
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.entry import run, say
from benchmarks.method.plan import ROOT, PlannedRun
from benchmarks.method.schedule import Limits, run_all
from benchmarks.weightings.plan import PLAN_FILE, Ground, Run, load_plan
from model.config import TrainRun, load_config, overlay
from model.data.faces import read_index
from model.errors import ConfigError, DataContractError, FaceError
from model.evaluation.markdown import markdown
from model.search import MACRO_F1, NME
from model.search.places import Places
from model.search.sampling import draw_at_random
from model.search.training import Job
from model.storage import read_json, write_json
from model.train.checkpoint import drop_foreign, origin_of
from model.train.loop import train
from model.train.orphan import end_with_parent
from model.train.validation import score
from model.weights import git_revision

RESULTS = Path("docs/results/search_ranking")
CHEAP, FULL = "cheap", "full"
METRICS = ("nme", "macro_f1", "score")


def main() -> None:
    """Run one command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args()
    {"run": _run, "one": _one, "report": _report}[options.command](options)


def points(job: Job, number: int) -> list[dict[str, float]]:
    """Values of params.yaml, then random ones of the space; a longer list begins with a shorter one."""
    seeds = [int(np.random.SeedSequence([job.run.seed, place]).generate_state(1)[0]) for place in range(1, number)]
    return [job.hand_set(), *(draw_at_random(job.config, seed) for seed in seeds)]


def planned(number: int) -> list[PlannedRun]:
    """Each point trained both ways; the cheap ones first."""
    return [Run(stage, 1.0, f"point-{place:02d}", 0) for stage in (CHEAP, FULL) for place in range(number)]


def train_point(key: str, ground: Ground, number: int) -> None:
    """Train one point one way, or go on where it was cut off, and write its result.

    Raises:
        FaceError: whatever training raises.
    """
    job, stages = _job(ground), {item.key: item for item in planned(number)}
    if key not in stages:
        raise ConfigError(f"no run {key}; there are point-00-cheap-0 to {list(stages)[-1]}")
    stage = stages[key]
    values = points(job, number)[int(stage.row.removeprefix("point-"))]
    full = load_plan(ground.study).overrides | values
    settings: TrainRun = job.run_of(values) if stage.data == CHEAP else overlay(job.run, full)
    folder = ground.folder(stage)
    drop_foreign(folder, origin_of(settings, read_index(ground.shards)))
    began = time.monotonic()
    metrics = train(settings, shards=ground.shards, out=folder).metrics
    found = {
        "stage": stage.data,
        "point": stage.row,
        "values": values,
        "nme": metrics[NME],
        "macro_f1": metrics[MACRO_F1],
        "score": score(metrics),
        "seconds": round(time.monotonic() - began, 1),
        "data_digest": read_index(ground.shards)["data_digest"],
        "git": git_revision(),
    }
    write_json(ground.result(stage), found)
    shutil.rmtree(folder)


def correlate(cheap: Sequence[dict[str, Any]], full: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Spearman's and Kendall's correlation of each metric over the points.

    `regret` is the best full score less that of the point with the best cheap one, `spread` the standard deviation of
    full scores.
    """
    found: dict[str, Any] = {"points": len(full)}
    for metric in METRICS:
        one, other = ([result[metric] for result in results] for results in (cheap, full))
        rho, tau = stats.spearmanr(one, other), stats.kendalltau(one, other)
        found[metric] = {"spearman": round(float(rho.statistic), 3), "p": round(float(rho.pvalue), 4)}
        found[metric]["kendall"] = round(float(tau.statistic), 3)
    scores = np.array([result["score"] for result in full])
    picked = int(np.argmax([result["score"] for result in cheap]))
    found["regret"] = round(float(scores.max() - scores[picked]), 4)
    found["spread"] = round(float(scores.std(ddof=1)), 4)
    found["seconds"] = {
        name: round(float(np.mean([result["seconds"] for result in results])), 1)
        for name, results in ((CHEAP, cheap), (FULL, full))
    }
    return found


def _run(options: argparse.Namespace) -> None:
    until = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    ground = _ground(options)

    def command(job: PlannedRun, _places: object) -> list[str]:
        shared = [f"--{name}={getattr(ground, name).resolve()}" for name in ("params", "data", "project")]
        rest = [f"--out={ground.results.resolve()}", f"--points={options.points}"]
        return [sys.executable, "-m", "benchmarks.search_ranking", "one", job.key, *shared, *rest]

    tally = run_all(planned(options.points), ground, Limits(options.workers, options.limit, until), command)
    say(f"{len(tally.done)} runs done, {len(tally.failed)} failed")
    if tally.failed:
        raise FaceError("; ".join(f"{key}: {what}" for key, what in tally.failed.items()))


def _one(options: argparse.Namespace) -> None:
    end_with_parent()
    train_point(options.key, _ground(options), options.points)


def _report(options: argparse.Namespace) -> None:
    by_stage = {
        stage: {
            path.name.split("-")[1]: read_json(path) for path in sorted(options.out.glob(f"point-*-{stage}-0.json"))
        }
        for stage in (CHEAP, FULL)
    }
    both = sorted(set(by_stage[CHEAP]) & set(by_stage[FULL]))
    if len(both) < 3:
        raise DataContractError(f"{options.out}: {len(both)} points trained both ways, need 3; run more")
    cheap, full = ([by_stage[stage][place] for place in both] for stage in (CHEAP, FULL))
    found = correlate(cheap, full)
    write_json(options.out / "correlation.json", found)
    if options.json:
        say(json.dumps(found, indent=2))
        return
    rows = [[metric, *(f"{found[metric][name]:g}" for name in ("spearman", "p", "kendall"))] for metric in METRICS]
    say(markdown(["metric", "Spearman", "p", "Kendall"], rows))
    seconds = found["seconds"]
    say(f"\n{found['points']} points; {seconds[CHEAP]:g} s a cheap run, {seconds[FULL]:g} s a full one.")
    say(f"The cheap winner loses {found['regret']:g} of score in full training; spread {found['spread']:g}.")


def _job(ground: Ground) -> Job:
    config = load_config(ground.params)
    return Job(config.run, config.search, ground.shards, Places(ground.data, config.search.study))


def _ground(options: argparse.Namespace) -> Ground:
    return Ground(PLAN_FILE, options.params, options.data, options.out, options.project)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_ranking", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {"run": "train what has no result", "one": "train one point", "report": "compare"}.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--out", type=Path, default=RESULTS, help="folder of results (default: %(default)s)")
        if name == "report":
            command.add_argument("--json", action="store_true")
            continue
        command.add_argument("--project", type=Path, default=Path(), help="folder with artifacts/ (default: here)")
        command.add_argument("--params", type=Path, default=ROOT / "params.yaml")
        command.add_argument("--data", type=Path, required=True, help="folder of running runs")
        command.add_argument("--points", type=int, default=12)
        if name == "one":
            command.add_argument("key")
        else:
            command.add_argument("--workers", type=int, default=2)
            command.add_argument("--limit", type=int, help="start no more runs than this")
            command.add_argument("--minutes", type=float, help="start no run after this time")
    return parser


if __name__ == "__main__":
    run(main)
