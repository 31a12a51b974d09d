"""Measure the published weights again, from the benchmarks as they are shipped, and compare with what was published.

Index, validation and evaluation are those of the recipe; they work in a temporary folder and only read `--data`.

Run:
    python -m benchmarks.published --data FOLDER          # exit code 1 where a number differs by more than rounding
    python -m benchmarks.published --data FOLDER --out docs/results/published.json
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.entry import run, say
from model.cli import workspace
from model.cli.app import PARAMS_FILE
from model.cli.recipe import read_recipe
from model.config import Config, load_config
from model.data.index import MANIFEST_FILE, build_index
from model.data.validate import VALID_FILE, validate_manifest
from model.evaluation.evaluate import evaluate
from model.evaluation.markdown import headlines, interval, markdown, printed, rounding
from model.schema import Measure
from model.storage import read_json, write_json
from model.weights import load_meta

EXPECTED = Path("docs/results/published.json")


def main() -> int:
    """Print the table; the exit code is 1 where the numbers are not the published ones."""
    options = _parse()
    torch.set_num_threads(1)
    # What is missing is told before minutes are spent.
    load_meta(options.weights)
    expected = None if options.out else read_json(options.expected)
    config = load_config(PARAMS_FILE, read_recipe(options.recipe))
    measured = measure(config, weights=options.weights, data=options.data) | {"recipe": options.recipe}
    if expected is None:
        write_json(options.out, measured)
        say(table(measured, measured))
        return 0
    wrong = differences(measured, expected)
    if options.json:
        say(json.dumps({"summary": measured["summary"], "published": expected["summary"], "differences": wrong}))
    else:
        say(table(measured, expected))
        say()
        say("\n".join(wrong) if wrong else f"all {len(expected['summary'])} numbers are the published ones")
    return 1 if wrong else 0


def measure(config: Config, *, weights: Path, data: Path) -> dict[str, Any]:
    """The evaluation report of the weights on the test splits of the configured sources.

    Raises:
        DataContractError, CheckpointError: as the steps raise them.
    """
    with TemporaryDirectory() as scratch:
        artifacts, reports = Path(scratch, "artifacts"), Path(scratch, "reports")
        build_index(config.index, data=data, out=artifacts, seed=config.seed)
        manifest = artifacts / MANIFEST_FILE
        validate_manifest(config.validate_, manifest=manifest, data=data, artifacts=artifacts, reports=reports)
        evaluate(
            config.evaluate,
            weights=weights,
            manifest=artifacts / VALID_FILE,
            data=data,
            reports=reports,
            predictions=artifacts / "predictions.parquet",
            seed=config.seed,
        )
        report: dict[str, Any] = read_json(reports / "evaluation.json")
    return report


def differences(measured: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """A line for each published number that was not met, after one each for other weights and other data."""
    lines = [
        f"{name} {measured[name][:12]} is not the published {expected[name][:12]}"
        for name in ("weights_digest", "data_digest")
        if measured[name] != expected[name]
    ]
    for name, published in expected["summary"].items():
        value = measured["summary"].get(name)
        if value is None or abs(value - published) > rounding(name):
            lines.append(f"{name}: {value}, published {published}")
    return lines


def table(measured: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Every value over all test faces in Markdown, beside the published one."""
    rows = []
    for name, words, row in headlines([Measure(**row) for row in measured["measures"]]):
        value, published = float(row.value or 0.0), expected["summary"].get(name)
        beside = "-" if published is None else printed(name, published)
        rows.append([words, f"{printed(name, value)}{interval(row, name)}", beside, f"{row.n:,}"])
    return markdown(["", "measured (interval)", "published", "n"], rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=workspace.PUBLISHED_WEIGHTS)
    parser.add_argument("--data", type=Path, required=True, help="folder with the sources of the recipe")
    parser.add_argument("--recipe", default="real-cpu")
    parser.add_argument("--expected", type=Path, default=EXPECTED, help="report with the published numbers")
    parser.add_argument("--out", type=Path, help="write the report instead of comparing it")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
