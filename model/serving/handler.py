"""TorchServe's side: requests of a batch in, answers out, each with its own status. Never raises on a request."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from model.serving.archive import read_package
from model.serving.body import Body, read_body
from model.serving.measures import Measures
from model.serving.predictor import Predictor
from model.serving.schema import (
    BODY_TYPE_HEADER,
    DIGEST_HEADER,
    MEASURES_HEADER,
    STATUS,
    VERSION_HEADER,
    Picture,
    RequestError,
)

logger = logging.getLogger(__name__)


class Context(Protocol):
    """What is used of TorchServe's context."""

    system_properties: Mapping[str, Any]
    model_yaml_config: Mapping[str, Any]

    def get_all_request_header(self, idx: int) -> Mapping[str, str]:
        """Headers of one request of the batch."""

    def set_response_status(self, code: int, phrase: str, idx: int) -> None:
        """Status of one answer of the batch."""

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Header of one answer of the batch."""


class FaceHandler:
    """Answers requests of TorchServe; the archive's handler file derives its one class from this."""

    def initialize(self, context: Context) -> None:
        """Load the weights beside the handler file.

        Raises:
            CheckpointError: unusable weights, or an archive made for another version of this package.
        """
        folder = Path(context.system_properties["model_dir"])
        settings = context.model_yaml_config["handler"]
        package = read_package(folder)
        torch.set_num_threads(int(settings["threads"]))
        self._max_pictures = int(settings["max_pictures"])
        self._max_faces = int(settings["max_faces"])
        self._predictor = Predictor(
            folder,
            version=package.model_version,
            max_pixels=int(settings["max_pixels"]),
            max_faces=self._max_faces,
        )

    def handle(self, data: Sequence[Mapping[str, Any]], context: Context) -> list[bytes]:
        """One JSON answer a request, in order."""
        answers = []
        for index, row in enumerate(data):
            headers = {name.lower(): value for name, value in _strings(context.get_all_request_header(index))}
            kind = headers.get(BODY_TYPE_HEADER.lower()) or headers.get("content-type", "")
            seen = Measures(batch=len(data))
            status, answer = self._respond(kind, row, seen)
            context.set_response_status(status, "", index)
            context.set_response_header(index, "Content-Type", "application/json")
            context.set_response_header(index, VERSION_HEADER, self._predictor.model_version)
            context.set_response_header(index, DIGEST_HEADER, self._predictor.data_digest)
            context.set_response_header(index, MEASURES_HEADER, seen.encode())
            answers.append(json.dumps(answer, allow_nan=False).encode())
        return answers

    def _respond(self, kind: str, row: Mapping[str, Any], seen: Measures) -> tuple[int, dict[str, Any]]:
        try:
            body = read_body(kind, _content(row), max_pictures=self._max_pictures)
            pictures = [self._within_limits(picture) for picture in body.pictures]
            answers = self._predictor.predict_many(pictures, watch=seen.see)
        except RequestError as error:
            # Its message may quote the request, which no log may hold.
            logger.info("refused: %s", error.code)
            answers = [self._predictor.refuse(error.code, str(error))]
            body = Body([], listed=False)
        for answer in answers:
            seen.note(answer)
        if len(answers) == 1 and seen.errors:
            seen.code = seen.errors[0]
        return _shape(answers, listed=body.listed)

    def _within_limits(self, picture: Picture) -> Picture:
        if picture.boxes is None or len(picture.boxes) <= self._max_faces:
            return picture
        return Picture(b"", problem=f"{len(picture.boxes)} boxes, at most {self._max_faces} a picture")


def _shape(answers: list[dict[str, Any]], *, listed: bool) -> tuple[int, dict[str, Any]]:
    """One picture: its fields, and its error as the status; several: a list with status 200."""
    if len(answers) > 1:
        return 200, {"predictions": answers}
    answer = answers[0]
    if answer["error"]:
        return STATUS[answer["error"]["code"]], {"error": answer["error"]}
    return 200, answer | ({"predictions": [answer]} if listed else {})


def _content(row: Mapping[str, Any]) -> bytes:
    value = row.get("body", row.get("data", b""))
    return bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode()


def _strings(headers: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if isinstance(value, str)]
