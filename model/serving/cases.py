"""Predictions of many pictures: the lines of a cases.jsonl."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from model.errors import StorageError
from model.schema import Box
from model.serving.schema import check_box, problem
from model.storage import read_bytes


class Answerer(Protocol):
    """A `Predictor`, or an `EndpointClient`."""

    def predict(self, content: bytes, boxes: list[Box] | None) -> dict[str, Any]:
        """Faces of one picture, or its error."""


def predict_cases(answerer: Answerer, cases: Iterable[Mapping[str, Any]], root: Path) -> Iterator[dict[str, Any]]:
    """Answers `{image, faces, error, model_version, data_digest}` in the order of the cases `{image, box}`.

    Paths lie under `root`. A picture that cannot be read, and a box that is none, become the error of their line; the
    origin of such a line is null.
    """
    for case in cases:
        answer = _answer(answerer, case, root)
        origin = {name: answer.get(name) for name in ("model_version", "data_digest")}
        yield {"image": case["image"], "faces": answer["faces"], "error": answer["error"], **origin}


def _answer(answerer: Answerer, case: Mapping[str, Any], root: Path) -> dict[str, Any]:
    box = case.get("box")
    try:
        boxes = None if box is None else [check_box(box)]
        content = read_bytes(case["image"], root)
    except ValueError as error:
        return {"faces": [], "error": problem("bad_request", str(error))}
    except StorageError as error:
        return {"faces": [], "error": problem("not_an_image", str(error))}
    return answerer.predict(content, boxes)
