"""Plant every kind of data fault in a copy of a set of faces, validate it, and count what was found.

The copy lies in a temporary folder and is gone afterwards; numbers alone are kept. Ends with exit code 4 if structural
faults are not all found, or copies of faces below 95 %.

Run:
    python -m benchmarks.data_faults --data data --out docs/results/data-faults-full.json
    python -m benchmarks.data_faults --recipe real-cpu --data FOLDER --faces 1500 --out REPORT
    python -m benchmarks.data_faults --table docs/results/data-faults-full.json
"""

import argparse
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.data_faults.copies import Label, copy_faces, thinned
from benchmarks.data_faults.plant import double_results, row_results, whole_results
from benchmarks.data_faults.results import missed_goals, report_of, table
from benchmarks.data_faults.shifts import drift_rows
from benchmarks.entry import Report, measure_or_show, run
from model.cli.app import PARAMS_FILE
from model.cli.recipe import read_recipe
from model.config import load_config
from model.errors import GateError

THIN = 300
"""Faces of each split that set-wide faults are planted in."""


def main() -> None:
    """Measure, or print the table of what was measured; then see whether it meets the goals."""
    missed = missed_goals(measure_or_show(_parser(), _measure, table))
    if missed:
        raise GateError(f"planted faults: {'; '.join(missed)}")


def _measure(options: argparse.Namespace) -> Report:
    config = load_config(PARAMS_FILE, read_recipe(options.recipe) if options.recipe else {})
    with TemporaryDirectory(dir=options.work) as folder:
        copy = copy_faces(
            config.validate_, config.index, data=options.data, root=Path(folder), limit=options.faces, seed=options.seed
        )
        before = copy.judge(copy.faces, budget=1.0).flags
        thin = thinned(copy.faces, THIN, options.seed, _split)
        rows = [
            *row_results(copy, before, number=options.number, seed=options.seed),
            *double_results(copy, before, number=options.number, seed=options.seed),
            *whole_results(copy, thin),
            *drift_rows(copy, thin, draws=options.draws, seed=options.seed),
        ]
    settings = config.validate_.model_dump(mode="json", exclude={"expected", "drift"})
    about = {"recipe": options.recipe, "faces": len(copy.faces), "seed": options.seed, "validate": settings}
    return report_of(rows, Counter(before.values()), **about)


def _split(face: Label) -> Any:
    return face["split"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_faults", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with the sources of the recipe")
    parser.add_argument("--recipe", default="", help="recipe of other sources than those of params.yaml")
    parser.add_argument("--faces", type=int, default=0, help="at most so many of each source and split; 0: all")
    parser.add_argument("--number", type=int, default=40, help="plantings of each kind")
    parser.add_argument("--draws", type=int, default=100, help="draws by chance that must raise no alarm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where the copy is made, instead of the system's temporary folder")
    return parser


if __name__ == "__main__":
    run(main)
