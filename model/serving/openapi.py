"""The OpenAPI 3.1 document of the endpoint; its shapes are those of `model.serving.schema`, written nowhere else."""

from typing import Any, Final, get_args

from pydantic.json_schema import models_json_schema

from model import __version__
from model.schema import INTENDED_USE
from model.serving.metrics import METRICS_PATH
from model.serving.schema import (
    DIGEST_HEADER,
    STATUS,
    VERSION_HEADER,
    Answer,
    AnswerList,
    Answers,
    ErrorCode,
    Health,
    Refusal,
    Request,
)

DOCUMENT_PATH: Final = "/openapi.json"

_MODELS: Final = (Request, Answer, Answers, AnswerList, Refusal, Health)
_REFERENCE: Final = "#/components/schemas/{model}"
_GRAY_PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="
)
"""8 x 8 pixels, for the example."""


def document(model: str) -> dict[str, Any]:
    """The document, as JSON values.

    Args:
        model: name of the model, which is part of the address.
    """
    _, shapes = models_json_schema([(item, "validation") for item in _MODELS], ref_template=_REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "residual-mtl",
            "version": __version__,
            "summary": "68 facial landmarks and 7 apparent expressions of the faces in pictures",
            "description": INTENDED_USE,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            f"/predictions/{model}": {"post": _predict()},
            "/ping": {"get": _ping()},
            METRICS_PATH: {"get": _metrics()},
            DOCUMENT_PATH: {"get": _itself()},
        },
        "components": {
            "schemas": shapes["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _predict() -> dict[str, Any]:
    forms = {"anyOf": [_shape(Answer), _shape(Answers), _shape(AnswerList)]}
    answer = {
        "description": "One picture: its faces; with multipart or JSON, the list of one beside them. Several pictures: "
        "a list in their order, in which a bad one carries its error.",
        "headers": {
            VERSION_HEADER: {"required": True, "schema": {"type": "string"}, "description": "Version of the model"},
            DIGEST_HEADER: {"required": True, "schema": {"type": "string"}, "description": "Data it was trained on"},
        },
        "content": {"application/json": {"schema": forms}},
    }
    return {
        "operationId": "predict",
        "summary": "Points, confidence and apparent expression of each face",
        "requestBody": {"required": True, "content": _bodies()},
        "responses": {"200": answer} | {str(status): _refusal(status) for status in sorted(set(STATUS.values()))},
    }


def _bodies() -> dict[str, Any]:
    picture = {"description": "A picture file"}
    parts = {
        "type": "object",
        "description": "A picture a part, in order; names of parts say nothing and may be equal",
        "minProperties": 1,
        "additionalProperties": picture,
    }
    instances = [{"image": _GRAY_PNG, "boxes": [[1, 1, 6, 6]]}, {"image": _GRAY_PNG}]
    return {
        "application/json": {"schema": _shape(Request), "example": {"instances": instances}},
        "multipart/form-data": {"schema": parts},
        "image/*": {"schema": picture},
        "application/octet-stream": {"schema": picture},
    }


def _refusal(status: int) -> dict[str, Any]:
    codes = [code for code in get_args(ErrorCode) if STATUS[code] == status]
    answer: dict[str, Any] = {
        "description": f"Refused: {', '.join(codes)}",
        "content": {"application/json": {"schema": _shape(Refusal)}},
    }
    if "overloaded" in codes:
        seconds = {"type": "integer", "minimum": 0}
        answer["headers"] = {"Retry-After": {"required": True, "schema": seconds, "description": "Seconds"}}
    if "unauthorized" in codes:
        answer["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
    return answer


def _ping() -> dict[str, Any]:
    content = {"application/json": {"schema": _shape(Health)}}
    return {
        "operationId": "ping",
        "summary": "Whether the model answers",
        "security": [],
        "responses": {
            "200": {"description": "It does", "content": content},
            "503": {"description": "It does not", "content": content},
        },
    }


def _metrics() -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "metrics",
        "summary": "Sums over requests, for Prometheus",
        "responses": {"200": {"description": "Its text form", "content": content}, "401": _refusal(401)},
    }


def _itself() -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": "describe",
        "summary": "This document",
        "security": [],
        "responses": {"200": {"description": "OpenAPI 3.1", "content": content}},
    }


def _shape(model: type[Any]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
