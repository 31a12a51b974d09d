"""How far two models differ on the same faces, counted as a canary counts: sound challengers, and broken ones.

Broken ones give the champion's answers with the classes in another order, one class for all faces, or points off by a
share of the face. The bounds of `deploy.canary` belong between the two.

Run:
    python -m benchmarks.canary_bounds --champion FOLDER --challengers FOLDER... --out docs/results/canary-bounds.json
    python -m benchmarks.canary_bounds --table docs/results/canary-bounds.json
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.sources import SAMPLE, faces_of_test
from model.cli.workspace import DATA, TRAIN
from model.data.codec import box_area
from model.evaluation.answers import face_box
from model.evaluation.markdown import markdown
from model.schema import EXPRESSIONS
from model.serving.comparison import Tally, compare
from model.serving.predictor import Predictor
from model.storage import read_bytes
from model.weights import load_meta

KIND = "canary-bounds"
SHIFTS = (0.02, 0.05, 0.1)
"""Of the square root of the box's area."""

Face = dict[str, Any]
Break = Callable[[Face], Face]


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    """Ask all models about each test face of the sample."""
    torch.set_num_threads(1)
    faces = faces_of_test(SAMPLE, options.data, every=options.every)
    pictures = [(read_bytes(record.image, faces.data), face_box(record)) for record in faces.records]
    champion = ask(options.champion, pictures)
    rows = [
        {
            "challenger": f"weights {load_meta(folder).weights_digest[:12]}",
            **difference(champion, ask(folder, pictures)),
        }
        for folder in options.challengers
    ]
    rows += [
        {"challenger": name, **difference(champion, [spoil(answer, change) for answer in champion])}
        for name, change in BROKEN.items()
    ]
    return {
        "format": 1,
        "kind": KIND,
        "champion": load_meta(options.champion).weights_digest[:12],
        "faces": len(pictures),
        "rows": rows,
    }


def ask(weights: Path, pictures: list[tuple[bytes, Any]]) -> list[dict[str, Any]]:
    """The predictor's answers about faces in their true box."""
    predictor = Predictor(weights)
    return [predictor.predict(content, [box]) for content, box in tqdm(pictures, desc=str(weights), disable=None)]


def difference(champion: list[dict[str, Any]], challenger: list[dict[str, Any]]) -> dict[str, float]:
    """`disagreement` and `point_difference` as `deploy.canary` bounds them."""
    tally = Tally()
    for left, right in zip(champion, challenger, strict=True):
        tally.add(compare(json.dumps(left).encode(), json.dumps(right).encode()))
    return {"disagreement": round(tally.disagreement, 4), "point_difference": round(tally.point_mean, 4)}


def spoil(answer: Mapping[str, Any], change: Break) -> dict[str, Any]:
    """The answer with each face changed."""
    return {**answer, "faces": [change(face) for face in answer["faces"]]}


def table(report: Report) -> str:
    """A row a challenger."""
    heads = [f"{report['faces']} faces", "faces that disagree %", "points apart, % of the face"]
    cells = [
        [row["challenger"], f"{100 * row['disagreement']:.1f}", f"{100 * row['point_difference']:.2f}"]
        for row in report["rows"]
    ]
    return markdown(heads, cells)


def _reversed(face: Face) -> Face:
    shares = [face["expression"][name] for name in EXPRESSIONS]
    return {**face, "expression": dict(zip(EXPRESSIONS, reversed(shares), strict=True))}


def _constant(face: Face) -> Face:
    return {**face, "expression": {name: float(name == EXPRESSIONS[0]) for name in EXPRESSIONS}}


def _shifted(share: float) -> Break:
    def shift(face: Face) -> Face:
        step = share * box_area(face["box"]) ** 0.5
        return {**face, "landmarks": [[x + step, y] for x, y in face["landmarks"]]}

    return shift


BROKEN: dict[str, Break] = {
    "classes in reverse order": _reversed,
    "one class for all": _constant,
    **{f"points off by {share:.0%}": _shifted(share) for share in SHIFTS},
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.canary_bounds", description=__doc__.splitlines()[0])
    parser.add_argument("--champion", type=Path, default=TRAIN, help="weights (default: %(default)s)")
    parser.add_argument("--challengers", type=Path, nargs="*", default=[], help="other weights")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the sample")
    parser.add_argument("--every", type=int, default=1, help="each n-th test face")
    return parser


if __name__ == "__main__":
    run(main)
