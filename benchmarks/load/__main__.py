"""Milliseconds and requests a second of every server, beside the bare network and the predictor, in one run.

The load generator shares the machine with the servers; what it costs stands beside each figure. The last part asks the
router from more clients than `deploy.max_in_flight` lets in, and then from one.

Run:
    python -m benchmarks.load --weights artifacts/train --out docs/results/load.json
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from benchmarks.entry import Report, measure_or_show, run, say
from benchmarks.load.clients import Target, ask
from benchmarks.load.inside import measure_inside
from benchmarks.load.pictures import Case, cases
from benchmarks.load.servers import servers
from model.cli import workspace
from model.config import dump_config, load_config, override, parse_config
from model.evaluation.markdown import markdown
from model.serving.archive import package
from model.weights import load_meta

CLIENTS = (1, 8, 32)
CROWD = 64


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    torch.set_num_threads(1)
    return {
        "format": 1,
        "kind": "load",
        "weights_digest": load_meta(options.weights).weights_digest,
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "rows": compare(options),
        "overload": overload(options),
    }


def compare(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a case: without a server, and by each server and number of clients."""
    rows = [
        {
            "case": case.name,
            "faces": case.faces,
            "inside": measure_inside(options.weights, case, seconds=options.seconds),
        }
        for case in cases()
    ]
    with _servers(options, {"deploy.max_in_flight": 2 * max(CLIENTS)}) as targets:
        for row, case in zip(rows, cases(), strict=True):
            row["servers"] = {
                name: {str(clients): _load(target, name, case, clients, options.seconds) for clients in CLIENTS}
                for name, target in targets.items()
            }
            say(f"{row['case']}: measured")
    return rows


def overload(options: argparse.Namespace) -> dict[str, Any]:
    """The router with the limits of the configuration: one client, a crowd, and one again until it is answered."""
    case = cases()[0]
    with _servers(options, {}) as targets:
        target = targets["router"]
        alone = _load(target, "router", case, 1, options.seconds)
        crowd = _load(target, "router", case, CROWD, options.seconds)
        begun = time.perf_counter()
        while ask(target, case.own(), clients=1, seconds=0, least=1)["status"] != {"200": 1}:
            time.sleep(0.05)
        recovered = time.perf_counter() - begun
        after = _load(target, "router", case, 1, options.seconds)
    limit = load_config(options.params).deploy.max_in_flight
    return {"limit": limit, "alone": alone, "crowd": crowd, "recovery_s": recovered, "after": after}


@contextmanager
def _servers(options: argparse.Namespace, values: Mapping[str, Any]) -> Iterator[Mapping[str, Target]]:
    """The servers, with values laid over the configuration."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = parse_config(override(dump_config(load_config(options.params)), values), origin=str(options.params))
        params = folder / "params.yaml"
        params.write_text(yaml.safe_dump(dump_config(config), sort_keys=False))
        archive = package(config.package, weights=options.weights, out=folder / "archive")
        with servers(config, archive, folder, params=params) as targets:
            yield targets


def _load(target: Target, name: str, case: Case, clients: int, seconds: float) -> dict[str, Any]:
    body = case.v2() if name == "second server" else case.own()
    ask(target, body, clients=clients, seconds=0, least=2 * clients)
    return ask(target, body, clients=clients, seconds=seconds)


def table(report: Report) -> str:
    """Without a server, then by server and number of clients."""
    parts = ("decode", "detect", "crop", "forward", "predictor")
    inside = [
        [row["case"], str(row["inside"]["faces"]), *(_number(row["inside"]["ms"].get(part)) for part in parts)]
        for row in report["rows"]
    ]
    served = [
        [f"{row['case']}, {name}, {clients} client(s)", *_cells(seen, row["faces"])]
        for row in report["rows"]
        for name, loads in row["servers"].items()
        for clients, seen in loads.items()
    ]
    crowd = report["overload"]
    crowded = [
        [f"{label}, {crowd['limit']} allowed", *_cells(crowd[name], 1)]
        for name, label in (("alone", "1 client"), ("crowd", f"{CROWD} clients"), ("after", "1 client afterwards"))
    ]
    heads = ["p50 ms", "p95 ms", "p99 ms", "faces/s", "200 / others", "generator ms"]
    return "\n\n".join(
        [
            markdown(["ms, one core", "faces found", *parts], inside),
            markdown(["served", *heads], served),
            markdown(["overload of the router", *heads], crowded),
            f"answered again {crowd['recovery_s']:.2f} s after the crowd had gone",
        ]
    )


def _cells(seen: Mapping[str, Any], faces: int) -> list[str]:
    answered = seen["status"].get("200", 0)
    numbers = [seen["p50_ms"], seen["p95_ms"], seen["p99_ms"], faces * seen["requests_per_s"]]
    others = f"{answered} / {seen['requests'] - answered}"
    return [*(_number(value) for value in numbers), others, _number(seen["generator_ms"])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=workspace.TRAIN, help="weights that all answer with")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run(main)
