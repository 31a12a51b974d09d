"""Ask an endpoint for half an hour: does its memory grow, and do its counters tell the truth?

Run:
    python -m benchmarks.soak --weights artifacts/train --minutes 30 --out docs/results/soak.json
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families
from tqdm import tqdm

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.load.clients import Target
from benchmarks.load.pictures import cases
from benchmarks.load.servers import torchserve_and_router
from model.cli import workspace
from model.config import load_config
from model.evaluation.markdown import markdown
from model.serving import running
from model.serving.archive import package
from model.serving.metrics import METRICS_PATH
from model.weights import load_meta

SAMPLE_S = 10.0
# The first part is left out of the slope: caches fill, and the JVM takes what it was promised.
WARM_SHARE = 1 / 3


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    config = load_config(options.params)
    with TemporaryDirectory() as scratch:
        state = Path(scratch) / "endpoint"
        archive = package(config.package, weights=options.weights, out=Path(scratch) / "archive")
        with torchserve_and_router(config, archive, state) as targets:
            seen = soak(targets["router"], state, minutes=options.minutes)
    return {
        "format": 1,
        "kind": "soak",
        "weights_digest": load_meta(options.weights).weights_digest,
        "minutes": options.minutes,
        **seen,
    }


def soak(target: Target, state: Path, *, minutes: float) -> dict[str, Any]:
    """Ask one request after the other, and look at memory every ten seconds."""
    bodies, sizes, asked, seconds = [case.own() for case in cases()], [], 0, 0.0
    begun = due = time.monotonic()
    with httpx.Client(headers=target.headers, timeout=60) as client, tqdm(total=round(minutes * 60), unit="s") as bar:
        before = _metrics(client, target)
        while (now := time.monotonic()) < begun + 60 * minutes:
            if now >= due:
                sizes.append({"s": round(now - begun, 1), **_resident_mb(state)})
                due += SAMPLE_S
                bar.update(round(now - begun) - bar.n)
            sent = time.perf_counter()
            client.post(target.url, content=bodies[asked % len(bodies)]).raise_for_status()
            seconds += time.perf_counter() - sent
            asked += 1
        after = _metrics(client, target)
    counted = after["rmtl_requests_total"] - before["rmtl_requests_total"]
    measured = after["rmtl_request_seconds_sum"] - before["rmtl_request_seconds_sum"]
    return {
        "asked": asked,
        "counted": counted,
        "client_seconds": seconds,
        "histogram_seconds": measured,
        "mb_a_minute": slopes(sizes),
        "resident_mb": sizes,
    }


def slopes(sizes: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Megabytes a minute by process: least squares over all but the first third; None where too little is left."""
    kept = sizes[round(len(sizes) * WARM_SHARE) :]
    minutes = [row["s"] / 60 for row in kept]
    names = [name for name in sizes[0] if name != "s"]
    if len(kept) < 3:
        return dict.fromkeys(names)
    return {name: float(np.polyfit(minutes, [row[name] for row in kept], 1)[0]) for name in names}


def table(report: Report) -> str:
    """Memory by process, and the two counts."""
    last = report["resident_mb"][-1]
    rows = [
        [name, f"{last[name]:.0f}", "-" if slope is None else f"{slope:+.2f}"]
        for name, slope in report["mb_a_minute"].items()
    ]
    share = 100 * (report["histogram_seconds"] / report["client_seconds"] - 1)
    return (
        markdown(["process", "MB at the end", "MB a minute"], rows)
        + f"\n\n{report['asked']} requests in {report['minutes']:g} min, {report['counted']:.0f} counted; "
        f"the histogram's seconds differ by {share:+.1f} % from the client's"
    )


def _resident_mb(state: Path) -> dict[str, float]:
    """Memory of the router, of TorchServe's front end, and of its workers together."""
    sizes = dict.fromkeys(("router", "front end", "workers"), 0.0)
    for name, process in _processes(state):
        sizes[name] += process.memory_info().rss / 2**20
    return sizes


def _processes(state: Path) -> Iterator[tuple[str, psutil.Process]]:
    router = running.router(state)
    if router:
        yield "router", router
    for slot in running.slots(state):
        front = slot.find()
        if front:
            yield "front end", front
            yield from (("workers", child) for child in front.children(recursive=True))


def _metrics(client: httpx.Client, target: Target) -> dict[str, float]:
    """Sum over all labels of each sample."""
    answer = client.get(httpx.URL(target.url).join(METRICS_PATH)).raise_for_status()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=workspace.TRAIN, help="weights that answer")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--minutes", type=float, default=30.0)
    return parser


if __name__ == "__main__":
    run(main)
