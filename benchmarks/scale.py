"""How long `rmtl index` and `rmtl validate` take, and how much memory, on sets of made faces of growing size.

The sets lie in a temporary folder and are gone afterwards. Of each, a share are copies of validation and test faces in
training; how many of them validation moves is counted too. Ends with exit code 4 where a goal is missed.

Run:
    python -m benchmarks.scale --faces 1000 10000 100000 --out docs/results/scale.json
    python -m benchmarks.scale --table docs/results/scale.json
"""

import argparse
import csv
import os
import resource
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.scale_faces import SOURCE, Planted, make_set
from model.cli import workspace
from model.cli.app import PARAMS_FILE
from model.cli.recipe import write_values
from model.errors import FaceError, GateError
from model.evaluation.markdown import markdown

KIND = "scale"
COPIES = 0.01
STEPS = ("index", "validate")
MOST_S = 300.0
"""Goal: seconds of both steps together, whatever the number of faces up to 100,000."""
MOST_MB = 2048.0
"""Goal: resident megabytes of a step with all that it starts."""

_LOOK_S = 0.25
_ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure, or print the table of what was measured; then see whether it meets the goals."""
    missed = missed_goals(measure_or_show(_parser(), _measure, table))
    if missed:
        raise GateError(f"scale: {'; '.join(missed)}")


def _measure(options: argparse.Namespace) -> Report:
    rows = [measure(faces, seed=options.seed, work=options.work) for faces in options.faces]
    about = {"format": 1, "kind": KIND, "cores": os.cpu_count(), "load_average": round(os.getloadavg()[2], 1)}
    return {**about, "seed": options.seed, "copies": COPIES, "rows": rows}


def measure(faces: int, *, seed: int, copies: float = COPIES, work: Path | None = None) -> dict[str, Any]:
    """Make a set, index and validate it: seconds, processor seconds and peak megabytes of both, and copies found.

    Raises:
        FaceError: a step failed.
    """
    with TemporaryDirectory(dir=work) as scratch:
        folder = Path(scratch)
        planted = make_set(folder / workspace.DATA, faces, copies=copies, seed=seed)
        shutil.copy(PARAMS_FILE, folder / PARAMS_FILE)
        sources = [SOURCE.model_dump(mode="json", exclude_none=True)]
        write_values(folder / PARAMS_FILE, {"index.sources": sources, "validate.leakage.exact": "aside"})
        steps = {step: run_step(folder, step) for step in STEPS}
        return {"faces": faces, **steps, **_found(planted, folder / workspace.QUARANTINE)}


def run_step(folder: Path, step: str) -> dict[str, float]:
    """Run `rmtl <step>` in `folder`; memory is that of the process and its children, looked at four times a second.

    Raises:
        FaceError: it failed; the message ends as its own.
    """
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-c", "from model.cli import main; main()", step]
    used, begun, peak = _processor_s(), time.monotonic(), 0.0
    with (folder / f"{step}.log").open("w+") as log:
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            peak = max(peak, _resident_mb(process))
            time.sleep(_LOOK_S)
        if process.returncode:
            log.seek(0)
            raise FaceError(f"rmtl {step}: exit code {process.returncode}: {log.read()[-500:]}")
    seconds = time.monotonic() - begun
    return {"s": round(seconds, 1), "cpu_s": round(_processor_s() - used, 1), "peak_mb": round(peak)}


def missed_goals(report: Report) -> list[str]:
    """A sentence for each goal that a size misses."""
    missed = []
    for row in report["rows"]:
        seconds, megabytes = _total(row, "s"), max(row[step]["peak_mb"] for step in STEPS)
        if seconds > MOST_S:
            missed.append(f"{row['faces']} faces took {seconds:.0f} s, the goal is {MOST_S:.0f}")
        if megabytes > MOST_MB:
            missed.append(f"{row['faces']} faces took {megabytes} MB, the goal is {MOST_MB:.0f}")
        if row["found"] != row["planted"] or row["strangers"]:
            missed.append(f"of {row['faces']} faces not the planted copies alone were moved")
    return missed


def table(report: Report) -> str:
    """Markdown: a line a size; seconds in brackets are the processor's."""
    heads = ["faces", *(f"{step}, {unit}" for step in STEPS for unit in ("s", "MB")), "ms a face", "copies found"]
    rows = [
        [
            f"{row['faces']:,}",
            *(cell for step in STEPS for cell in _cells(row[step])),
            f"{1000 * _total(row, 's') / row['faces']:.2f} ({1000 * _total(row, 'cpu_s') / row['faces']:.2f})",
            f"{sum(row['found'].values())} of {sum(row['planted'].values())}",
        ]
        for row in report["rows"]
    ]
    return markdown(heads, rows)


def _found(planted: Planted, quarantine: Path) -> dict[str, Any]:
    """Planted and found copies by kind, and other rows that were moved."""
    with quarantine.open(newline="") as stream:
        moved = {row["record_id"] for row in csv.DictReader(stream)}
    found = {kind: len(moved.intersection(ids)) for kind, ids in planted.copies.items()}
    return {
        "planted": {kind: len(ids) for kind, ids in planted.copies.items()},
        "found": found,
        "strangers": len(moved) - sum(found.values()),
    }


def _resident_mb(process: psutil.Process) -> float:
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def _processor_s() -> float:
    """Seconds that all children so far spent on processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _total(row: Mapping[str, Any], unit: str) -> float:
    return float(sum(row[step][unit] for step in STEPS))


def _cells(step: Mapping[str, float]) -> Sequence[str]:
    return f"{step['s']:.0f} ({step['cpu_s']:.0f})", f"{step['peak_mb']:,}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="sizes of the sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where the sets are made, instead of the system's temporary folder")
    return parser


if __name__ == "__main__":
    run(main)
