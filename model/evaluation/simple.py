"""The simple model that a network has to beat: a linear one on small grey crops, fitted on some of the training faces.

Its points are the mean shape, moved by what brightness tells; its class is the one with the highest linear score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from model.data.codec import decode_points, encode_points
from model.data.transforms import crop_face
from model.evaluation.answers import face_box, open_picture, read_truth
from model.schema import EXPRESSIONS, LANDMARKS, FaceRecord

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_SIDE = 24
_CROP_SCALE = 1.2
# More of them move the answers little and take seconds.
_FACES = 1000
_RIDGES = tuple(10.0**power for power in range(6))


class SimpleAnswers(NamedTuple):
    """Points (N, K, 2) in picture coordinates and classes (N); None for a task that the training faces cannot teach."""

    landmarks_NK2: Array | None
    classes_N: Labels | None


class _Crops(NamedTuple):
    """Brightness (N, D) of small crops, each standardised, and the maps from picture coordinates to crop units."""

    brightness_ND: Array
    matrices: list[Array]


def answer_simply(
    training: Sequence[FaceRecord], asked: Sequence[FaceRecord], *, data: Path, seed: int
) -> SimpleAnswers:
    """Answers on `asked` of linear models, fitted a task on at most 1,000 faces of `training` that have its label.

    The ridge is the one that errs least on training faces left out in turn; classes weigh alike.

    Raises:
        DataContractError: a picture that cannot be opened as it was indexed.
    """
    draw = np.random.default_rng(seed)
    pointed = _some([face for face in training if face.points and all(face.points_mask or [True])], draw)
    named = _some([face for face in training if face.expression in EXPRESSIONS], draw)
    can_point, can_name = len(pointed) > 1, len({face.expression for face in named}) > 1
    if not can_point and not can_name:
        return SimpleAnswers(None, None)
    crops = _cut(asked, data)
    return SimpleAnswers(
        landmarks_NK2=_points(crops, pointed, data) if can_point else None,
        classes_N=_classes(crops, named, data) if can_name else None,
    )


def _some(records: Sequence[FaceRecord], draw: np.random.Generator) -> list[FaceRecord]:
    return [records[row] for row in sorted(draw.permutation(len(records))[:_FACES])]


def _cut(records: Sequence[FaceRecord], data: Path) -> _Crops:
    rows, matrices = [], []
    for record in tqdm(records, unit="face", desc="simple model", disable=None):
        crop, matrix = crop_face(open_picture(record, data), face_box(record), size=_SIDE, crop_scale=_CROP_SCALE)
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float64).ravel()
        rows.append((grey - grey.mean()) / (grey.std() + 1.0))
        matrices.append(matrix)
    return _Crops(np.stack(rows), matrices)


def _points(asked: _Crops, training: Sequence[FaceRecord], data: Path) -> Array:
    from sklearn.linear_model import RidgeCV

    known = _cut(training, data)
    pairs = zip(read_truth(training).landmarks_NK2, known.matrices, strict=True)
    units_NC = np.stack([encode_points(points, matrix).ravel() for points, matrix in pairs])
    answers_NC = RidgeCV(_RIDGES).fit(known.brightness_ND, units_NC).predict(asked.brightness_ND)
    answered = zip(answers_NC.reshape(-1, LANDMARKS, 2), asked.matrices, strict=True)
    return np.stack([decode_points(points, matrix) for points, matrix in answered])


def _classes(asked: _Crops, training: Sequence[FaceRecord], data: Path) -> Labels:
    from sklearn.linear_model import RidgeClassifierCV

    fitted = RidgeClassifierCV(_RIDGES, class_weight="balanced")
    fitted.fit(_cut(training, data).brightness_ND, read_truth(training).expression_N)
    return np.asarray(fitted.predict(asked.brightness_ND), dtype=np.int64)
