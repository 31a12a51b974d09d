"""Ways to weigh the losses at equal budget: run, report.

Run: python -m benchmarks.weightings run --data /data/weightings --workers 2 --minutes 110
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.method.plan import ROOT, PlannedRun
from benchmarks.method.schedule import Limits, run_all
from benchmarks.weightings.plan import FULL, PLAN_FILE, TUNE, Ground, Plan, load_plan, planned_runs
from model.errors import FaceError

RESULTS = Path("docs/results/weightings")
_HELP = {
    "run": "tune each method within the budget, train its best in full; what has a result is skipped",
    "report": "compare the methods from the results alone: JSON, tables, plots",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code tells the kind of failure (see `model.errors`)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        {"run": _run, "report": _report}[options.command](options)
    except FaceError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _run(options: argparse.Namespace) -> None:
    plan = load_plan(options.plan)
    ground = Ground(options.plan, options.params, options.data, options.out, options.project)
    until = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    failed: dict[str, str] = {}
    left = options.limit
    for runs in stages(plan, options.only):
        tally = run_all(runs, ground, Limits(options.workers, left, until), _command)
        failed |= tally.failed
        left = None if left is None else left - len(tally.done) - len(tally.failed)
        if failed or any(not ground.result(run).exists() for run in runs):
            break
    everything = [run for stage in (TUNE, FULL) for run in planned_runs(plan, stage)]
    missing = sum(not ground.result(run).exists() for run in everything)
    sys.stdout.write(f"{missing} of {len(everything)} runs have no result yet\n")
    if failed:
        raise FaceError("; ".join(f"{key}: {what}" for key, what in failed.items()))


def stages(plan: Plan, only: str = "*") -> list[list[PlannedRun]]:
    """Each waits for the one before: the budget, the other methods within it, the full runs."""
    tune = planned_runs(plan, TUNE, only)
    full = planned_runs(plan, FULL, only)
    first = [run for run in tune if run.row == plan.budget_of]
    return [[*first], [run for run in tune if run not in first], [*full]]


def _command(run: PlannedRun, places: object) -> list[str]:
    assert isinstance(places, Ground)
    names = ("study", "params", "data", "results", "project")
    options = [f"--{name}={getattr(places, name).resolve()}" for name in names]
    return [sys.executable, "-m", "benchmarks.weightings.worker", run.key, *options]


def _report(options: argparse.Namespace) -> None:
    from benchmarks.weightings.report import write_report

    report = write_report(load_plan(options.plan), results=options.results, out=options.out)
    text = json.dumps(report, indent=2) if options.json else (options.out / "weightings.md").read_text()
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weightings", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run, report = (commands.add_parser(name, help=text, description=text) for name, text in _HELP.items())
    for command in (run, report):
        command.add_argument("--plan", type=Path, default=PLAN_FILE, help="plan (default: plan.yaml beside the code)")
    run.add_argument("--project", type=Path, default=Path(), help="folder with artifacts/ and data/ (default: here)")
    run.add_argument("--params", type=Path, default=ROOT / "params.yaml", help="configuration below the plan")
    run.add_argument("--data", type=Path, required=True, help="folder of running runs")
    run.add_argument("--out", type=Path, default=RESULTS, help="folder of results (default: %(default)s)")
    run.add_argument("--workers", type=int, default=2, help="processes at a time (default: %(default)s)")
    run.add_argument("--only", default="*", metavar="PATTERN", help="runs whose name fits, as 'famo-*'")
    run.add_argument("--limit", type=int, help="start no more runs than this")
    run.add_argument("--minutes", type=float, help="start no run after this time")
    report.add_argument("--results", type=Path, default=RESULTS, help="folder of results (default: %(default)s)")
    report.add_argument("--out", type=Path, default=Path("reports"), help="folder of weightings.json, .md, plots")
    report.add_argument("--json", action="store_true", help="print the report as JSON, not as tables")
    return parser


if __name__ == "__main__":
    sys.exit(main())
