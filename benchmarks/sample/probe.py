"""Measures how hard the benchmark is: a linear probe on pixels and a kernel machine on the exact points.

Run: python -m benchmarks.sample.probe data
"""

import argparse
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.sample.camera import tight_box
from benchmarks.sample.schema import Floats

Labels = NDArray[np.str_]
Row = dict[str, Any]
_SIDE = 32
_ROUNDS = 10


def main() -> None:
    """Print both probe figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sample.probe", description=__doc__)
    parser.add_argument("data", type=Path, help="folder that holds sample/")
    folder = parser.parse_args().data / "sample"
    sys.stdout.write(json.dumps({"linear_pixels": probe_pixels(folder), **probe_points(folder)}) + "\n")


def probe_pixels(folder: Path) -> float:
    """Test accuracy of logistic regression on grey face crops, trained on the expression subset's given labels."""
    rows = [row for row in read_table(folder) if row["expression"]]
    pixels = np.zeros((len(rows), _SIDE * _SIDE), np.float32)
    labels = np.asarray([row["expression"] for row in rows])
    split = np.asarray([row["split"] for row in rows])
    for name in ("train", "val", "test"):
        with tarfile.open(folder / f"{name}.tar") as pack:
            for i in np.flatnonzero(split == name):
                pixels[i] = _face_pixels(pack, rows[i])
    train, val, test = (split == name for name in ("train", "val", "test"))
    machines = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300)) for c in (0.0001, 0.001, 0.01)]
    fitted = [machine.fit(pixels[train], labels[train]) for machine in machines]
    best = max(fitted, key=lambda machine: machine.score(pixels[val], labels[val]))
    return round(float(best.score(pixels[test], labels[test])), 4)


def probe_points(folder: Path) -> dict[str, float]:
    """Accuracy on aligned points, cross-validated by subject on the faces that carry both labels."""
    rows = [row for row in read_table(folder) if row["points"] and row["expression"]]
    shapes = align(np.asarray([row["points"] for row in rows], dtype=float))
    labels = np.asarray([row["expression"] for row in rows])
    subjects = np.asarray([row["subject"] for row in rows])
    scores = {c: score_shapes(shapes, labels, subjects, c) for c in (3.0, 10.0, 30.0)}
    return {"rbf_svm_points": round(max(scores.values()), 4), "faces_with_both": len(rows)}


def score_shapes(shapes: Floats, labels: Labels, subjects: Labels, penalty: float) -> float:
    """Mean accuracy of an RBF machine over folds that keep each subject on one side."""
    machine = make_pipeline(StandardScaler(), SVC(C=penalty, gamma="scale"))
    return float(cross_val_score(machine, shapes, labels, groups=subjects, cv=GroupKFold(5)).mean())


def align(points: Floats) -> Floats:
    """Similarity Procrustes of shapes (N, K, 2) to their mean, flattened (N, 2K)."""
    shape = points - points.mean(axis=1, keepdims=True)
    plane = shape[..., 0] + 1j * shape[..., 1]
    plane /= np.linalg.norm(plane, axis=1, keepdims=True)
    mean = plane[0]
    for _ in range(_ROUNDS):
        turn = plane.conj() @ mean
        aligned = plane * (turn / np.abs(turn))[:, None]
        mean = aligned.mean(axis=0)
        mean /= np.linalg.norm(mean)
    return np.concatenate([aligned.real, aligned.imag], axis=1)


def read_table(folder: Path) -> list[Row]:
    """Lines of the label table."""
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def _face_pixels(pack: tarfile.TarFile, row: Row) -> Floats:
    """Grey square crop of the face, normalised; the picture itself where the table has no points."""
    member = pack.extractfile(row["image"].split("!")[1])
    assert member is not None
    grey = np.asarray(Image.open(io.BytesIO(member.read())).convert("L"), dtype=np.float32)
    side = len(grey)
    x0, y0, x1, y1 = tight_box(np.asarray(row["points"])) if row["points"] else (0, 0, side - 1, side - 1)
    half = (max(x1 - x0, y1 - y0) * (1.3 if row["points"] else 1.0) + 1) / 2
    corner = np.asarray([(x0 + x1) / 2 - half, (y0 + y1) / 2 - half])
    scale = _SIDE / (2 * half)
    matrix = np.asarray([[scale, 0, -scale * corner[0] - 0.5], [0, scale, -scale * corner[1] - 0.5]])
    crop = cv2.warpAffine(grey, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    pixels: Floats = ((crop - crop.mean()) / (crop.std() + 1.0)).ravel()
    return pixels


if __name__ == "__main__":
    main()
