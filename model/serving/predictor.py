"""From the bytes of a picture to faces, without any framework: the road that evaluation takes too."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.data.codec import Floats, Pixels, box_area, decode_image, decode_points, overlap, tight_box
from model.data.transforms import crop_face
from model.errors import CheckpointError, ImageError
from model.net.inference import Answers, FaceNet
from model.schema import EXPRESSIONS, INTENDED_USE, Box
from model.serving.detector import find_faces
from model.serving.schema import check_box, problem

MAX_PIXELS = 40_000_000

logger = logging.getLogger(__name__)

SAME_FACE_OVERLAP = 0.5
POINT_DECIMALS = 4
SHARE_DECIMALS = 7


class Predictor:
    """Answers about pictures with one set of weights.

    Args:
        folder: `weights.safetensors` and `meta.json`.
        version: what answers name as `model_version`; the head of the weights' digest where it is not registered.
        max_pixels: largest picture; the default bounds memory to about 120 MB.

    Raises:
        CheckpointError: weights that cannot be used, or that lack one of the two tasks.
    """

    def __init__(self, folder: Path, *, version: str | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self._net = FaceNet.load(folder).record()
        meta = self._net.meta
        if set(meta.net.tasks) != {"landmarks", "expression"}:
            raise CheckpointError(
                f"{folder}: weights of {', '.join(meta.net.tasks)} alone; an answer needs both tasks: "
                "train with `train.net.tasks` holding both"
            )
        self.model_version = version or meta.weights_digest[:12]
        self.data_digest = meta.data_digest
        self._max_pixels = max_pixels

    def predict(
        self, content: bytes, boxes: Sequence[Box] | None = None, *, watch: Callable[[Pixels], None] | None = None
    ) -> dict[str, Any]:
        """Faces of one picture, or why there are none to tell.

        Args:
            content: bytes of a picture file.
            boxes: tight boxes of the 68 points in pixels of the upright picture, answered in this order; a box within
                1 px of the picture's border on all sides says that the picture is the face crop. None: find the faces
                and answer the largest first.
            watch: gets the upright picture, once it is decoded.

        Returns:
            `faces`, `model_version`, `data_digest`, `intended_use` and `error`, as the endpoint gives them.
        """
        try:
            given = None if boxes is None else [check_box(box) for box in boxes]
            image = decode_image(content, max_pixels=self._max_pixels)
        except ImageError as error:
            return self.refuse(error.code, str(error))
        except ValueError as error:
            return self.refuse("bad_request", str(error))
        if watch:
            watch(image)
        return self._answer(self._find(image) if given is None else self._look(image, given))

    def refuse(self, code: str, message: str) -> dict[str, Any]:
        """An answer without faces that says why."""
        return self._answer([]) | {"error": problem(code, message)}

    def _answer(self, faces: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "faces": faces,
            "model_version": self.model_version,
            "data_digest": self.data_digest,
            "intended_use": INTENDED_USE,
            "error": None,
        }

    def _find(self, image_HWC: Pixels) -> list[dict[str, Any]]:
        """Detected faces, each in the tight box of its points; of two that overlap the larger one."""
        found = self._look(image_HWC, [box for box, _ in find_faces(image_HWC)])
        faces: list[dict[str, Any]] = []
        for face in sorted(found, key=_area_of_points, reverse=True):
            box = tight_box(face["landmarks"])
            if box_area(box) > 0 and all(overlap(box, other["box"]) < SAME_FACE_OVERLAP for other in faces):
                faces.append(face | {"box": list(box)})
        return faces

    def _look(self, image_HWC: Pixels, boxes: Sequence[Box]) -> list[dict[str, Any]]:
        if not boxes:
            return []
        net = self._net.meta.net
        cuts = [crop_face(image_HWC, box, size=net.input_size, crop_scale=net.crop_scale) for box in boxes]
        answers = self._net.answer(np.stack([crop for crop, _ in cuts]))
        matrices = [matrix for _, matrix in cuts]
        return [_face(box, answers, row, matrix) for row, (box, matrix) in enumerate(zip(boxes, matrices, strict=True))]


def _face(box: Box, answers: Answers, row: int, matrix: Floats) -> dict[str, Any]:
    points, confidence, shares = answers.points_BK2, answers.confidence_BK, answers.probabilities_BE
    if points is None or confidence is None or shares is None:
        raise CheckpointError("the network answered one task only; see `net.tasks` in meta.json")
    return {
        "box": list(box),
        "landmarks": np.round(decode_points(points[row], matrix), POINT_DECIMALS).tolist(),
        "confidence": np.round(confidence[row], SHARE_DECIMALS).tolist(),
        "expression": dict(zip(EXPRESSIONS, np.round(shares[row], SHARE_DECIMALS).tolist(), strict=True)),
    }


def _area_of_points(face: dict[str, Any]) -> float:
    return box_area(tight_box(face["landmarks"]))
