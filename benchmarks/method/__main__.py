"""The study of the method: draw, freeze, run, report."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.method.places import Places
from benchmarks.method.plan import ROOT, STUDY_FILE, load_study, planned_runs
from model.errors import FaceError

RESULTS = Path("docs/results/method")
_HELP = {
    "draw": "draw the data sets that are not there; compare all with what is frozen",
    "freeze": "write the digests of data and generator, once",
    "run": "train and measure what has no result yet, goes on where it was cut off",
    "report": "compare the rows from the results alone: JSON, tables, plots",
}
_EXAMPLES = {
    "draw": "python -m benchmarks.method draw --data /data/study --workers 2",
    "freeze": "python -m benchmarks.method freeze --data /data/study",
    "run": "python -m benchmarks.method run --data /data/study --workers 2 --only 'gap-100-*' --minutes 110",
    "report": "python -m benchmarks.method report --json",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code tells the kind of failure (see `model.errors`)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        {"draw": _draw, "freeze": _freeze, "run": _run, "report": _report}[options.command](options)
    except FaceError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _draw(options: argparse.Namespace) -> None:
    from benchmarks.method.frozen import draw

    draw(load_study(options.study), data=options.data, results=options.out, workers=options.workers)


def _freeze(options: argparse.Namespace) -> None:
    from benchmarks.method.frozen import freeze

    sys.stdout.write(f"{freeze(load_study(options.study), data=options.data, results=options.out)}\n")


def _run(options: argparse.Namespace) -> None:
    from benchmarks.method.schedule import Limits, run_all

    runs = planned_runs(load_study(options.study), options.only)
    places = Places(options.study, options.params, options.data, options.out)
    until = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    tally = run_all(runs, places, Limits(options.workers, options.limit, until))
    left = sum(not places.result(run).exists() for run in runs)
    sys.stdout.write(
        f"{len(tally.done)} runs done, {len(tally.failed)} failed, {len(tally.elsewhere)} under way or done elsewhere; "
        f"{left} of {len(runs)} have no result yet\n"
    )
    if tally.failed:
        raise FaceError("; ".join(f"{key}: {what}" for key, what in tally.failed.items()))


def _report(options: argparse.Namespace) -> None:
    from benchmarks.method.report import write_report

    report = write_report(load_study(options.study), results=options.results, out=options.out)
    text = json.dumps(report, indent=2) if options.json else (options.out / "ablation.md").read_text()
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _HELP.items():
        command = commands.add_parser(name, help=text, description=text, epilog=f"Example: {_EXAMPLES[name]}")
        command.add_argument(
            "--study", type=Path, default=STUDY_FILE, help="plan (default: study.yaml beside the code)"
        )
        if name != "report":
            command.add_argument(
                "--data", type=Path, required=True, help="folder of data sets, shards and running runs"
            )
            command.add_argument("--out", type=Path, default=RESULTS, help="folder of results (default: %(default)s)")
        if name in ("draw", "run"):
            command.add_argument("--workers", type=int, default=2, help="processes at a time (default: %(default)s)")
        if name == "run":
            command.add_argument(
                "--params", type=Path, default=ROOT / "params.yaml", help="configuration below the plan"
            )
            command.add_argument(
                "--only", default="*", metavar="PATTERN", help="runs whose name fits, as 'gap-100-*-0'"
            )
            command.add_argument("--limit", type=int, help="start no more runs than this")
            command.add_argument("--minutes", type=float, help="start no run after this time")
        if name == "report":
            command.add_argument(
                "--results", type=Path, default=RESULTS, help="folder of results (default: %(default)s)"
            )
            command.add_argument(
                "--out", type=Path, default=Path("reports"), help="folder of ablation.json, .md, plots/"
            )
            command.add_argument("--json", action="store_true", help="print the report as JSON, not as tables")
    return parser


if __name__ == "__main__":
    sys.exit(main())
