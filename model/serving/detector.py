"""Finds faces: BlazeFace (Google MediaPipe, Apache-2.0, files beside this one) on the whole picture and on tiles.

The long-range network proposes, the close-range one looks at each proposal again and places six keypoints. Those
predict the outer landmarks, whose tight box is the box that the rest of the system means. Works upright and rolled
to about 60 degrees, for faces from about 5 % of the picture's longer side.
"""

import json
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.data.codec import Window, box_area, crop_matrix, decode_points
from model.data.transforms import warp
from model.schema import Box

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

FOLDER = Path(__file__).parent / "blazeface"

PROPOSE_SCORE = 0.4
CONFIRM_SCORE = 0.65
"""From here on hardly anything else than faces was found beside held-out training faces; see `benchmarks.detection`."""
CONFIRM_WINDOW = 2.0
"""Side of the second look over the size of the proposal."""
TILE_SHARE = 0.55
TILE_FROM_PX = 300
"""Below this longer side a tile shows nothing that the whole picture does not."""
SAME_FACE_OVERLAP = 0.3
INSIDE_SHARE = 0.6
MAX_PROPOSALS = 64


class Detections(NamedTuple):
    """Faces in picture pixels: centres and sizes of boxes (N, 2) each, six keypoints (N, 6, 2), scores (N,)."""

    centre_N2: Floats
    size_N2: Floats
    keypoints_N62: Floats
    score_N: Floats


class _BlazeFace:
    """One detector network; calls are serialised, as the interpreter owns its tensors."""

    def __init__(self, file: str, size: int, layers: tuple[tuple[int, int], ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.size = size
        self._anchors_A2 = _anchors(size, layers)
        self._net = Interpreter(model_path=str(FOLDER / file), num_threads=1)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        outputs = {item["shape"][-1]: item["index"] for item in self._net.get_output_details()}
        self._regressors, self._scores = outputs[16], outputs[1]
        self._lock = Lock()

    def look(self, image_HWC: Pixels, window: Window, least: float) -> Detections:
        """Faces inside a square window with a score of at least `least`."""
        matrix = crop_matrix(window)
        crop = warp(image_HWC, matrix, self.size)
        with self._lock:
            self._net.set_tensor(self._input, (crop[None] / 127.5 - 1.0).astype(np.float32))
            self._net.invoke()
            raw = np.array(self._net.get_tensor(self._regressors)[0], dtype=np.float64)
            logits = np.array(self._net.get_tensor(self._scores)[0, :, 0], dtype=np.float64)
        score = 1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))
        kept = score >= least
        places = raw[kept].reshape(-1, 8, 2) / self.size
        anchors = self._anchors_A2[kept]
        return Detections(
            centre_N2=decode_points(places[:, 0] + anchors, matrix),
            size_N2=places[:, 1] * window.side,
            keypoints_N62=decode_points(places[:, 2:] + anchors[:, None], matrix),
            score_N=score[kept],
        )


def find_faces(image_HWC: Pixels, *, least: float = CONFIRM_SCORE) -> list[tuple[Box, float]]:
    """Tight boxes of the 68 points and scores (`least` to 1) of all faces found, largest first.

    A box may reach over the picture's border. No face, or a picture of a few pixels, gives an empty list.
    """
    propose, confirm = _networks()
    height, width = image_HWC.shape[:2]
    seen = [propose.look(image_HWC, window, PROPOSE_SCORE) for window in _windows(width, height)]
    proposals = _merge(_join(seen))
    looks = []
    for centre, size in zip(proposals.centre_N2[:MAX_PROPOSALS], proposals.size_N2, strict=False):
        window = Window(float(centre[0]), float(centre[1]), max(2.0, CONFIRM_WINDOW * float(size.mean())))
        found = confirm.look(image_HWC, window, least)
        near = np.linalg.norm(found.centre_N2 - centre, axis=1) < 0.5 * size.mean()
        best = _merge(Detections(*(part[near] for part in found)))
        looks.append(Detections(*(part[:1] for part in best)))
    faces = _merge(_join(looks))
    boxes = [(_landmark_box(points), float(score)) for points, score in zip(faces[2], faces[3], strict=True)]
    return sorted(boxes, key=lambda item: box_area(item[0]), reverse=True)


@cache
def _networks() -> tuple[_BlazeFace, _BlazeFace]:
    return (
        _BlazeFace("face_detection_back.tflite", 256, ((16, 2), (32, 6))),
        _BlazeFace("face_detection_short_range.tflite", 128, ((8, 2), (16, 6))),
    )


@cache
def _hull_map() -> tuple[NDArray[np.complex128], Floats]:
    """Mean keypoints (6 complex), and weights (13 features, 13 points x 2)."""
    values: dict[str, Any] = json.loads((FOLDER / "hull.json").read_text())
    mean = np.array(values["mean_keypoints"])
    return mean[:, 0] + 1j * mean[:, 1], np.array(values["weights"])


def _anchors(size: int, layers: tuple[tuple[int, int], ...]) -> Floats:
    """Centres (A, 2) in crop units, in the order of the network's outputs: rows, columns, anchors of a cell."""
    grids = []
    for stride, number in layers:
        steps = (np.arange(size // stride) + 0.5) * stride / size
        grids.append(np.repeat(np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2), number, axis=0))
    return np.concatenate(grids)


def _windows(width: int, height: int) -> list[Window]:
    longer = max(width, height)
    windows = [Window((width - 1) / 2, (height - 1) / 2, float(longer))]
    if longer >= TILE_FROM_PX:
        side = TILE_SHARE * longer
        windows += [Window(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]
    return windows


def _starts(length: int, side: float) -> tuple[float, ...]:
    if length <= side:
        return ((length - 1) / 2,)
    return (side / 2 - 0.5, length - side / 2 - 0.5)


def _join(parts: list[Detections]) -> Detections:
    if not parts:
        return Detections(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 6, 2)), np.zeros(0))
    return Detections(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _merge(found: Detections) -> Detections:
    """Detections of one face become their mean weighted by score, best first.

    Two belong together where they overlap, or where most of the smaller one lies inside the other.
    """
    low, high = found.centre_N2 - found.size_N2 / 2, found.centre_N2 + found.size_N2 / 2
    area = np.prod(high - low, axis=1)
    order = np.argsort(-found.score_N, kind="stable")
    merged = []
    while len(order):
        best = order[0]
        inter = np.prod(
            np.maximum(np.minimum(high[best], high[order]) - np.maximum(low[best], low[order]), 0.0), axis=1
        )
        union = area[best] + area[order] - inter
        same = (inter > SAME_FACE_OVERLAP * union) | (inter > INSIDE_SHARE * np.minimum(area[best], area[order]))
        same[0] = True
        group, order = order[same], order[~same]
        weight = found.score_N[group]
        centre, size, keypoints = (np.average(part[group], axis=0, weights=weight)[None] for part in found[:3])
        merged.append(Detections(centre, size, keypoints, found.score_N[best : best + 1]))
    return _join(merged)


def _landmark_box(keypoints_62: Floats) -> Box:
    """Tight box of the outer landmarks that the keypoints predict; turns and scales with the keypoints."""
    mean, weights = _hull_map()
    keypoints = keypoints_62[:, 0] + 1j * keypoints_62[:, 1]
    centre, shape = keypoints.mean(), mean - mean.mean()
    turn = np.sum((keypoints - centre) * shape.conj()) / np.sum(np.abs(shape) ** 2)
    aligned = (keypoints - centre) / turn
    features = np.concatenate([aligned.real, aligned.imag, [1.0]])
    hull = (features @ weights).reshape(2, -1)
    points = (hull[0] + 1j * hull[1]) * turn + centre
    return float(points.real.min()), float(points.imag.min()), float(points.real.max()), float(points.imag.max())
