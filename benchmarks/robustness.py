"""How the answers hold on faces that are blurred, dark, small, covered, or cut by a box that is not the true one.

Each face goes the way of the predictor, one picture file at a time. Reported on the test splits of a recipe's sources
and of the bundled sample, whose drawn faces are of another kind than photographs.

Run:
    python -m benchmarks.robustness --weights weights --data FOLDER --out docs/results/robustness.json
    python -m benchmarks.robustness --table docs/results/robustness.json
"""

import argparse
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.perturb import CONDITIONS, Condition, Scene, perturb
from benchmarks.scores import FAILURE, score
from benchmarks.sources import SAMPLE, Faces, faces_of_test
from model.cli.app import PARAMS_FILE
from model.cli.recipe import read_recipe
from model.config import EvaluateConfig, load_config
from model.data.codec import is_face_crop, overlap
from model.errors import CheckpointError, ConfigError
from model.evaluation.answers import face_box, open_picture
from model.evaluation.markdown import markdown
from model.schema import Box, FaceRecord
from model.serving.predictor import Predictor
from model.weights import load_meta

KIND = "robustness"
FOUND = "box found by our detector"
SAME_FACE = 0.3
"""A found box belongs to the asked face from this overlap; with less the face is missed."""
COLUMNS = {
    "nme": "NME %",
    "fr_8": f"FR@{FAILURE:g}",
    "accuracy": "accuracy %",
    "macro_f1": "macro-F1 %",
    "accuracy_votes": "accuracy %, votes",
    "macro_f1_votes": "macro-F1 %, votes",
}


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    if options.data is None:
        raise ConfigError("--data: needed to measure; or show a kept report with --table")
    torch.set_num_threads(options.threads)
    predictor, meta = Predictor(options.weights), load_meta(options.weights)
    config = load_config(PARAMS_FILE, read_recipe(options.recipe))
    places = [(source, options.data) for source in config.index.sources] + [(SAMPLE, options.sample)]
    sources = {source.name: faces_of_test(source, data, every=options.every) for source, data in places}
    rows = [
        {"source": name, **row}
        for name, faces in sources.items()
        for row in measure(predictor, faces, meta.net.crop_scale, config=config.evaluate, seed=options.seed)
    ]
    digests = {"weights_digest": meta.weights_digest, "trained_on": meta.data_digest}
    settings = {"recipe": options.recipe, "seed": options.seed, "every": options.every}
    return {"format": 1, "kind": KIND, **digests, **settings, "rows": rows}


def measure(
    predictor: Predictor, faces: Faces, crop_scale: float, *, config: EvaluateConfig, seed: int
) -> Iterator[dict[str, Any]]:
    """A row for each condition; one more for found boxes where the true points are known."""
    for condition in CONDITIONS:
        answers = [
            answer_changed(predictor, scene, record, condition, seed)
            for record, scene in _scenes(faces, crop_scale, condition.name)
        ]
        yield {**condition._asdict(), **score(faces.records, answers, config, seed=seed)}
    if all(record.points is not None for record in faces.records):
        found = [_answer_found(predictor, scene) for _, scene in _scenes(faces, crop_scale, FOUND)]
        yield {"name": FOUND, "change": "detect", "strength": None, **score(faces.records, found, config, seed=seed)}


def scene_of(record: FaceRecord, data: Path, crop_scale: float) -> Scene:
    """The picture of a record, and the box whose crop the network would see.

    Where the picture is the face crop, the box of the points is unknown: the one that `crop_scale` would cut to the
    whole picture stands in for it, so that shifting and scaling it means what it means for other faces.
    """
    image, box = open_picture(record, data), face_box(record)
    height, width = image.shape[:2]
    if is_face_crop(box, width, height):
        half = max(width, height) / crop_scale / 2
        x, y = (width - 1) / 2, (height - 1) / 2
        box = x - half, y - half, x + half, y + half
    return Scene(image, box)


def answer_changed(
    predictor: Predictor, scene: Scene, record: FaceRecord, condition: Condition, seed: int
) -> dict[str, Any]:
    """The predictor's answer under a condition, whose random draws depend on seed and face alone."""
    changed = perturb(scene, condition, np.random.default_rng([seed, crc32(record.record_id.encode())]))
    return _faces(predictor, changed, [changed.box])[0]


def table(report: Report) -> str:
    """A Markdown table a source; n in the heads, intervals beside the values."""
    parts = []
    for source in dict.fromkeys(row["source"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["source"] == source]
        present = [name for name in COLUMNS if any(name in row for row in rows)]
        heads = [source, *(f"{COLUMNS[name]}, n {rows[0][name]['n']:,}" for name in present)]
        parts.append(markdown(heads, [[_named(row), *(_cell(row.get(name)) for name in present)] for row in rows]))
    return "\n\n".join(parts)


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['name']}, {row['misses']} misses" if row["misses"] else str(row["name"])


def _cell(value: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    interval = "" if value["low"] is None else f" ({value['low']:.2f}-{value['high']:.2f})"
    return f"{value['value']:.2f}{interval}"


def _scenes(faces: Faces, crop_scale: float, words: str) -> Iterator[tuple[FaceRecord, Scene]]:
    for record in tqdm(faces.records, desc=words, unit="face", disable=None):
        yield record, scene_of(record, faces.data, crop_scale)


def _answer_found(predictor: Predictor, scene: Scene) -> dict[str, Any] | None:
    """The found face that overlaps the true box most, or None."""
    found = _faces(predictor, scene, None)
    best = max(found, key=lambda face: overlap(face["box"], scene.box), default=None)
    return best if best is not None and overlap(best["box"], scene.box) >= SAME_FACE else None


def _faces(predictor: Predictor, scene: Scene, boxes: Sequence[Box] | None) -> list[dict[str, Any]]:
    stream = io.BytesIO()
    Image.fromarray(scene.image_HWC).save(stream, "PNG", compress_level=1)
    answer = predictor.predict(stream.getvalue(), boxes)
    if answer["error"]:
        raise CheckpointError(f"the predictor refused a picture: {answer['error']['message']}")
    faces: list[dict[str, Any]] = answer["faces"]
    return faces


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--data", type=Path, help="folder with the sources of the recipe")
    parser.add_argument("--sample", type=Path, default=Path("data"), help="folder with the sources of params.yaml")
    parser.add_argument("--recipe", default="real-cpu")
    parser.add_argument("--every", type=int, default=1, help="take each n-th face only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    run(main)
