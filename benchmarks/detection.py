"""What the detector finds of held-out training faces, and what else, by the score from which a find counts.

Each face of the held-out split of a validated manifest is laid on a grey canvas, at a place that depends on the face
alone. The other faces of its picture are not labelled: one that is found counts as no face.

Run:
    python -m benchmarks.detection --project FOLDER --out docs/results/detection.json
    python -m benchmarks.detection --table docs/results/detection.json
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.perturb import Scene, blur, side_of
from benchmarks.robustness import SAME_FACE
from model.cli.workspace import DATA, VALID_MANIFEST
from model.data.codec import overlap
from model.data.manifest import read_manifest
from model.errors import DataContractError
from model.evaluation.answers import face_box, open_picture
from model.evaluation.markdown import markdown
from model.serving.detector import find_faces

KIND = "detection"
CANVAS = (900, 700)
"""Width and height."""
GREY = (128, 128, 128)
SCORES = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
OTHER = 0.1
"""Overlap with the true box below which a find is not that face."""


class Layout(NamedTuple):
    """Side of the face in shares of the canvas's width, roll in degrees, and blur in sides of the face."""

    name: str
    share: float
    roll: float = 0.0
    blur: float = 0.0


LAYOUTS = (
    Layout("large", 0.4),
    Layout("middle", 0.12),
    Layout("small", 0.06),
    Layout("middle, rolled by 45 degrees", 0.12, roll=45),
    Layout("middle, blur of 6 %", 0.12, blur=0.06),
    Layout("small, rolled by 20 degrees, blur of 4 %", 0.06, roll=20, blur=0.04),
)


class Found(NamedTuple):
    """The best score among the finds of a face (0 without one), and the scores of what else was found."""

    face: float
    others: list[float]


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    data = options.project / DATA
    records = [item for item in read_manifest(options.project / VALID_MANIFEST) if item.split == "val" and item.points]
    if not records:
        raise DataContractError(
            f"{options.project / VALID_MANIFEST}: no held-out face with points; set `index.holdout`"
        )
    scenes = [(record.record_id, Scene(open_picture(record, data), face_box(record))) for record in records]
    rows = [{**layout._asdict(), **summarise(measure(scenes, layout))} for layout in LAYOUTS]
    return {"format": 1, "kind": KIND, "faces": len(records), "scores": list(SCORES), "rows": rows}


def measure(scenes: Sequence[tuple[str, Scene]], layout: Layout) -> list[Found]:
    """What is found of each face, and beside it, from the least of `SCORES`."""
    found = []
    for name, scene in tqdm(scenes, desc=layout.name, unit="face", disable=None):
        laid = lay(scene, layout, np.random.default_rng(crc32(name.encode())))
        shares = [(overlap(box, laid.box), score) for box, score in find_faces(laid.image_HWC, least=min(SCORES))]
        face = max((score for share, score in shares if share >= SAME_FACE), default=0.0)
        found.append(Found(face, [score for share, score in shares if share < OTHER]))
    return found


def lay(scene: Scene, layout: Layout, generator: np.random.Generator) -> Scene:
    """The scene on the canvas, the face wholly on it; the box is that of the upright face around the same centre."""
    width, height = CANVAS
    x0, y0, x1, y1 = scene.box
    scale, half = layout.share * width / side_of(scene.box), layout.share * width / 2
    matrix = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), layout.roll, scale)
    x, y = generator.uniform(half, width - half), generator.uniform(half, height - half)
    matrix[:, 2] += np.array([x - (x0 + x1) / 2, y - (y0 + y1) / 2])
    # Detail that the canvas cannot hold is averaged away before.
    fine = blur(scene, 0.5 / scale / side_of(scene.box), generator).image_HWC if scale < 1 else scene.image_HWC
    canvas = np.asarray(cv2.warpAffine(fine, matrix, CANVAS, borderValue=GREY), dtype=np.uint8)
    laid = Scene(canvas, (x - half, y - half, x + half, y + half))
    return blur(laid, layout.blur, generator) if layout.blur else laid


def summarise(found: Iterable[Found]) -> dict[str, Any]:
    """Share of the faces that are found (percent), and how many other finds there are, by score."""
    faces = np.array([item.face for item in found])
    others = np.array([score for item in found for score in item.others])
    return {
        "found": [round(100 * float((faces >= score).mean()), 2) for score in SCORES],
        "others": [int((others >= score).sum()) for score in SCORES],
    }


def table(report: Report) -> str:
    """A row a layout, a column a score."""
    heads = [f"{report['faces']} faces a row: found %; other finds", *(f"from {score:g}" for score in report["scores"])]
    cells = [
        [row["name"], *(f"{share:.1f}; {number}" for share, number in zip(row["found"], row["others"], strict=True))]
        for row in report["rows"]
    ]
    return markdown(heads, cells)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="folder with data/ and a validated manifest")
    return parser


if __name__ == "__main__":
    run(main)
