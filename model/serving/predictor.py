"""From the bytes of a picture to faces, without any framework: the road that evaluation takes too."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.data.codec import Floats, Pixels, box_area, decode_points, face_window, overlap, tight_box
from model.data.transforms import crop_face
from model.errors import CheckpointError, ConfigError, ImageError
from model.net.inference import Answers, FaceNet
from model.schema import EXPRESSIONS, INTENDED_USE, Box
from model.serving.allowance import Allowance
from model.serving.detector import find_faces
from model.serving.schema import Picture, RequestError, check_box, problem

MAX_PIXELS = 40_000_000
MAX_FACES = 64

SAME_FACE_OVERLAP = 0.5
POINT_DECIMALS = 4
SHARE_DECIMALS = 7


class _CutFace(NamedTuple):
    """A face as the network sees it; `matrix` leads from the picture to crop units."""

    box: Box
    crop_HWC: Pixels
    matrix: Floats


class _Cut(NamedTuple):
    """The faces of a picture, given or found, or why there are none."""

    faces: Sequence[_CutFace] = ()
    found: bool = False
    error: dict[str, str] | None = None


class Predictor:
    """Answers about pictures with one set of weights.

    Args:
        folder: `weights.safetensors` and `meta.json`.
        version: what answers name as `model_version`; the head of the weights' digest where it is not registered.
        max_pixels: largest picture; the default bounds memory to about 120 MB.
        max_faces: of one picture; together with `max_pixels` it bounds what a request may ask in sum, see `Allowance`.
        convention: name of one of the weights' conventions; none: expressions are named as the weights learnt to.

    Raises:
        CheckpointError: weights that cannot be used, or that lack one of the two tasks.
        ConfigError: a convention that the weights lack.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: str | None = None,
        max_pixels: int = MAX_PIXELS,
        max_faces: int = MAX_FACES,
        convention: str | None = None,
    ) -> None:
        self._net = FaceNet.load(folder).record()
        meta = self._net.meta
        if set(meta.net.tasks) != {"landmarks", "expression"}:
            raise CheckpointError(
                f"{folder}: weights of {', '.join(meta.net.tasks)} alone; an answer needs both tasks: "
                "train with `train.net.tasks` holding both"
            )
        if convention is not None and convention not in meta.conventions:
            raise ConfigError(
                f"{folder}: no convention {convention}; these weights have {', '.join(meta.conventions) or 'none'}"
            )
        self._convention = None if convention is None else meta.conventions[convention]
        self.model_version = version or meta.weights_digest[:12]
        self.data_digest = meta.data_digest
        self._max_pixels, self._max_faces = max_pixels, max_faces

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
        given = None if boxes is None else list(boxes)
        return self.predict_many([Picture(content, given)], watch=watch)[0]

    def predict_many(
        self, pictures: Sequence[Picture], *, watch: Callable[[Pixels], None] | None = None
    ) -> list[dict[str, Any]]:
        """As `predict` about each picture; their faces pass the network together, which changes answers by rounding.

        A picture that cannot be answered gets its own error and leaves the others as they are; so does each one that
        goes beyond the allowance of a request.
        """
        allowance = Allowance(max_pixels=self._max_pixels, max_faces=self._max_faces)
        cuts = [self._cut(picture, allowance, watch) for picture in pictures]
        crops = [face.crop_HWC for cut in cuts for face in cut.faces]
        answers = self._ask(crops) if crops else None
        rows = count()
        return [self._tell(cut, [_face(face, answers, next(rows)) for face in cut.faces]) for cut in cuts]

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

    def _cut(self, picture: Picture, allowance: Allowance, watch: Callable[[Pixels], None] | None) -> _Cut:
        try:
            given = _checked(picture)
            image = allowance.decode(picture.content)
            if watch:
                watch(image)
            boxes = [box for box, _ in find_faces(image)] if given is None else given
            return _Cut(self._cut_faces(image, boxes, allowance), found=given is None)
        except (ImageError, RequestError) as error:
            return _Cut(error=problem(error.code, str(error)))

    def _cut_faces(self, image: Pixels, boxes: Sequence[Box], allowance: Allowance) -> list[_CutFace]:
        net, (height, width) = self._net.meta.net, image.shape[:2]
        allowance.take_faces(image, [face_window(box, width, height, net.crop_scale) for box in boxes])
        return [_CutFace(box, *crop_face(image, box, size=net.input_size, crop_scale=net.crop_scale)) for box in boxes]

    def _ask(self, crops: Sequence[Pixels]) -> Answers:
        answers = self._net.answer(np.stack(crops))
        if self._convention is None or answers.probabilities_BE is None:
            return answers
        return answers._replace(probabilities_BE=self._convention.translate(answers.probabilities_BE))

    def _tell(self, cut: _Cut, faces: list[dict[str, Any]]) -> dict[str, Any]:
        return self._answer(_apart(faces) if cut.found else faces) | {"error": cut.error}


def _checked(picture: Picture) -> list[Box] | None:
    """The boxes of a picture whose bytes are there; None: its faces are to be found."""
    if picture.problem:
        raise RequestError("bad_request", picture.problem)
    try:
        return None if picture.boxes is None else [check_box(box) for box in picture.boxes]
    except ValueError as error:
        raise RequestError("bad_request", str(error)) from error


def _face(face: _CutFace, answers: Answers | None, row: int) -> dict[str, Any]:
    points, confidence, shares = (None,) * 3 if answers is None else answers[:3]
    if points is None or confidence is None or shares is None:
        raise CheckpointError("the network answered one task only; see `net.tasks` in meta.json")
    return {
        "box": list(face.box),
        "landmarks": np.round(decode_points(points[row], face.matrix), POINT_DECIMALS).tolist(),
        "confidence": np.round(confidence[row], SHARE_DECIMALS).tolist(),
        "expression": dict(zip(EXPRESSIONS, np.round(shares[row], SHARE_DECIMALS).tolist(), strict=True)),
    }


def _apart(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Detected faces, largest first, each in the tight box of its points; of two that overlap the larger one."""
    faces: list[dict[str, Any]] = []
    for face in sorted(found, key=_area_of_points, reverse=True):
        box = tight_box(face["landmarks"])
        if box_area(box) > 0 and all(overlap(box, other["box"]) < SAME_FACE_OVERLAP for other in faces):
            faces.append(face | {"box": list(box)})
    return faces


def _area_of_points(face: dict[str, Any]) -> float:
    return box_area(tight_box(face["landmarks"]))
