"""Requests and answers as tensors, as the Open Inference Protocol writes them in JSON.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from model.schema import EXPRESSIONS, INTENDED_USE, LANDMARKS, Box
from model.serving.schema import Picture, RequestError, check_box

INPUTS: Final = {"image": ("BYTES", [-1]), "box": ("FP64", [-1, 4])}
"""Pictures in base64; optionally one tight box of the 68 points each, in pixels of the upright picture."""

OUTPUTS: Final = {
    "picture": ("INT64", [-1]),
    "box": ("FP64", [-1, 4]),
    "landmarks": ("FP64", [-1, LANDMARKS, 2]),
    "confidence": ("FP64", [-1, LANDMARKS]),
    "expression": ("FP64", [-1, len(EXPRESSIONS)]),
    "error": ("BYTES", [-1]),
}
"""A row a face, `picture` the number of its picture; `error` has a row a picture, empty where there is none."""

_FLOATS: Final = ("FP16", "FP32", "FP64")


class Tensor(BaseModel):
    """One input; `data` is flat or nested."""

    name: str
    datatype: str
    shape: list[int] = Field(min_length=1, max_length=4)
    data: list[Any]


class Wanted(BaseModel):
    """Name of an output that the client asks for."""

    name: Literal["picture", "box", "landmarks", "confidence", "expression", "error"]


class InferRequest(BaseModel):
    """Body of a request; `parameters`, which the protocol allows anywhere, have no meaning here."""

    id: str = ""
    inputs: list[Tensor] = Field(min_length=1, max_length=2)
    outputs: list[Wanted] = []


def read_request(content: bytes) -> InferRequest:
    """Raises:
    RequestError: `bad_request`, naming the first field that is wrong.
    """
    try:
        return InferRequest.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise RequestError("bad_request", f"{place}: {first['msg']}") from error


def read_pictures(request: InferRequest, *, max_pictures: int) -> list[Picture]:
    """The pictures of a request in order, each with its box if there is one.

    Raises:
        RequestError: `bad_request`, for tensors other than those of `INPUTS`.
    """
    tensors = {tensor.name: tensor for tensor in request.inputs}
    unknown = sorted(tensors.keys() - INPUTS.keys())
    if unknown or "image" not in tensors or len(tensors) != len(request.inputs):
        raise RequestError(
            "bad_request", f"inputs: need `image` and at most one `box`; got {', '.join(map(str, unknown or tensors))}"
        )
    contents = _strings(tensors["image"])
    if not 1 <= len(contents) <= max_pictures:
        raise RequestError("bad_request", f"image: {len(contents)} pictures, need 1 to {max_pictures}")
    boxes = _boxes(tensors["box"], len(contents)) if "box" in tensors else [None] * len(contents)
    return [_picture(text, box) for text, box in zip(contents, boxes, strict=True)]


def _picture(text: str, box: Box | None) -> Picture:
    boxes = None if box is None else [box]
    try:
        return Picture(base64.b64decode(text, validate=True), boxes)
    except (binascii.Error, ValueError):
        return Picture(b"", boxes, "image: not base64")


def _strings(tensor: Tensor) -> list[str]:
    if tensor.datatype != "BYTES" or len(tensor.shape) != 1 or not all(isinstance(item, str) for item in tensor.data):
        raise RequestError("bad_request", "image: need datatype BYTES, shape [number of pictures], data in base64")
    if tensor.shape != [len(tensor.data)]:
        raise RequestError("bad_request", f"image: shape {tensor.shape}, but {len(tensor.data)} strings")
    return tensor.data


def _boxes(tensor: Tensor, number: int) -> list[Box]:
    if tensor.datatype not in _FLOATS or tensor.shape != [number, 4]:
        raise RequestError("bad_request", f"box: need datatype FP64 and shape [{number}, 4]")
    try:
        return [check_box(row) for row in np.asarray(tensor.data, dtype=float).reshape(number, 4).tolist()]
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError("bad_request", f"box: {str(error)[:200]}") from error


def write_answers(answers: Sequence[dict[str, Any]], request: InferRequest, *, model: str) -> dict[str, Any]:
    """The response; `answers` are the predictor's, one a picture."""
    faces = [(number, face) for number, answer in enumerate(answers) for face in answer["faces"]]
    values: dict[str, list[Any]] = {
        "picture": [number for number, _ in faces],
        "error": [_error(answer) for answer in answers],
        "expression": [[face["expression"][name] for name in EXPRESSIONS] for _, face in faces],
        **{name: [face[name] for _, face in faces] for name in ("box", "landmarks", "confidence")},
    }
    wanted: list[str] = [item.name for item in request.outputs] or list(OUTPUTS)
    return {
        "model_name": model,
        "model_version": answers[0]["model_version"],
        **({"id": request.id} if request.id else {}),
        "parameters": {
            "data_digest": answers[0]["data_digest"],
            "expression_names": ",".join(EXPRESSIONS),
            "intended_use": INTENDED_USE,
        },
        "outputs": [_tensor(name, values[name]) for name in wanted],
    }


def _error(answer: dict[str, Any]) -> str:
    return f"{answer['error']['code']}: {answer['error']['message']}" if answer["error"] else ""


def _tensor(name: str, rows: list[Any]) -> dict[str, Any]:
    datatype, shape = OUTPUTS[name]
    flat = rows if len(shape) == 1 else np.asarray(rows, dtype=float).ravel().tolist()
    return {"name": name, "datatype": datatype, "shape": [len(rows), *shape[1:]], "data": flat}
