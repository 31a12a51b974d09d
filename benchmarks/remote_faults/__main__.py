"""Play each fault of the S3 remote before a real server on this machine, mend its cause, and run the same again.

What is said of the remote is read from the server, not from the command. The full disk is a mounted one, which takes
root's rights; `--faults` leaves it out.

Run: python -m benchmarks.remote_faults --out docs/results/remote-faults.json
"""

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.entry import measure_or_show, run, say
from benchmarks.remote_faults.faults import FAULTS, Fault
from benchmarks.remote_faults.stage import FILES, Stage, altered, make_project, names


def main() -> None:
    """Play the faults, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="FAULT")
    measure_or_show(parser, measure, table)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The report on the faults that `options` name."""
    played = []
    with TemporaryDirectory() as scratch:
        template = make_project(Path(scratch) / "template")
        for number, name in enumerate(options.faults):
            played.append({"fault": name, **play(FAULTS[name], template, Path(scratch) / str(number))})
            say(str(played[-1]))
    # The large file and the version's list are objects, too.
    cpus = len(os.sched_getaffinity(0))
    return {"format": 1, "kind": "remote-faults", "objects": FILES + 2, "cpus": cpus, "faults": played}


def play(fault: Fault, template: Path, scratch: Path) -> dict[str, Any]:
    """How the command ended, what the remote has then, and how the same went again.

    Args:
        template: from `make_project`.
        scratch: a folder that is not there yet.
    """
    with ExitStack() as ends:
        stage = Stage(template, scratch, ends)
        if fault.command == "pull":
            stage.push_other()
            stage.forget()
        fault.prepare(stage)
        first = stage.rmtl(fault.command, stage.project, variables=fault.variables)
        stage.calm()
        there = names()
        found = {"there": len(there), "altered": len(altered()), "listed": any(name.endswith(".dir") for name in there)}
        fault.mend(stage)
        again = stage.rmtl(fault.command, stage.project, variables={})
    return {"command": fault.command, **first, **found, "again": again}


def table(report: Mapping[str, Any]) -> str:
    """A row a fault."""
    lines = [
        "| fault | command | exit code | after, s | on the remote then | the same again: exit code, s, objects moved |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["faults"]:
        cells = [row["fault"], row["command"], row["exit_code"], f"{row['s']:.0f}", _remote(row, report["objects"])]
        cells.append(f"{row['again']['exit_code']}, {row['again']['s']:.0f}, {row['again']['moved']}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _remote(row: Mapping[str, Any], objects: int) -> str:
    if row["there"] == 0:
        return "nothing"
    words = [f"{row['there']} of {objects}", f"{row['altered']} altered" if row["altered"] else "all whole"]
    return ", ".join([*words, "with the version's list" if row["listed"] else "without the version's list"])


if __name__ == "__main__":
    run(main)
