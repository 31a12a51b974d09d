"""Updates and roll-backs of an endpoint under load: is a request lost, does a version come back too early?

Run:
    python -m benchmarks.rollouts --weights weights --changes 10 --out docs/results/rollouts.json
"""

import argparse
import time
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.load.phases import Load, under_load
from benchmarks.load.pictures import cases
from model.cli import workspace
from model.config import Config, load_config
from model.evaluation.markdown import markdown
from model.serving import server
from model.serving.archive import package
from model.serving.rollout import replace
from model.weights import load_meta

ANSWERS = 200
VERSIONS = ("1", "2")
_PHASE_S = 600


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    with TemporaryDirectory() as scratch:
        seen = change_versions(
            load_config(options.params),
            options.weights,
            Path(scratch),
            changes=options.changes,
            clients=options.clients,
            answers=options.answers,
        )
    weights = load_meta(options.weights).weights_digest
    return {"format": 1, "kind": "rollouts", "weights_digest": weights, "clients": options.clients, **seen}


def change_versions(
    config: Config, weights: Path, scratch: Path, *, changes: int, clients: int, answers: int
) -> dict[str, Any]:
    """Serve the first version, then the second and the first in turn; each has to give so many answers.

    Returns:
        A row a phase, failures, and the versions in the order in which their requests were sent.
    """
    archives = [package(config.package, weights=weights, out=scratch / name, version=name) for name in VERSIONS]
    state, report = scratch / "endpoint", scratch / "deployment.json"
    deployment = server.start(config.deploy, archive=archives[0], state=state, report=report)
    took = [0.0]
    try:
        kind = "application/json"
        with under_load(deployment, cases()[0].own(), clients=clients, kind=kind) as load:
            load.wait(answers, VERSIONS[0], limit_s=_PHASE_S)
            turns = islice(cycle(zip(VERSIONS[::-1], archives[::-1], strict=True)), changes)
            for version, archive in tqdm(turns, total=changes, unit="change", disable=None):
                before, began = load.answers(version), time.monotonic()
                replace(config.deploy, archive=archive, state=state, report=report)
                took.append(time.monotonic() - began)
                load.wait(before + answers, version, limit_s=_PHASE_S)
    finally:
        server.stop(deployment, state=state)
    return {"failures": load.failures, "versions": load.versions(), "phases": _rows(load, took)}


def table(report: Report) -> str:
    """A row a phase."""
    rows = [
        [
            row["version"],
            *(f"{row[name]:.1f}" for name in ("change_s", "p50_ms", "p99_ms", "slowest_ms")),
            row["answers"],
        ]
        for row in report["phases"]
    ]
    heads = ["version", "change s", "p50 ms", "p99 ms", "slowest ms", "answers"]
    return (
        markdown(heads, [[str(cell) for cell in row] for row in rows])
        + f"\n\n{len(report['failures'])} failed requests of {sum(row['answers'] for row in report['phases'])} by "
        f"{report['clients']} clients; versions in the order of sending: {', '.join(report['versions'])}"
    )


def _rows(load: Load, took: list[float]) -> list[dict[str, Any]]:
    rows = []
    for answers, change_s in zip(load.phases(), took, strict=False):
        p50, p99, slowest = np.percentile([answer.seconds * 1000 for answer in answers], [50, 99, 100])
        figures = {"change_s": change_s, "p50_ms": float(p50), "p99_ms": float(p99), "slowest_ms": float(slowest)}
        rows.append({"version": answers[0].version, "answers": len(answers), **figures})
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollouts", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=workspace.TRAIN, help="weights that all answer with")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--changes", type=int, default=10, help="updates and roll-backs (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=4, help="that ask without a pause (default: %(default)s)")
    parser.add_argument("--answers", type=int, default=ANSWERS, help="least of a phase (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run(main)
