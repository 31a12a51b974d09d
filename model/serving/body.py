"""The three kinds of request body, read into instances: a picture, multipart, JSON."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from model.serving.schema import Instance, Picture, Request, RequestError

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """Pictures of a request in order; `listed` where the form of the request is a list, if only of one."""

    pictures: list[Picture]
    listed: bool


def read_body(content_type: str, content: bytes, *, max_pictures: int) -> Body:
    """Read a request.

    `multipart/*` holds a picture a part, whatever its name; `application/json` holds `instances`; everything else is
    the bytes of one picture.

    Raises:
        RequestError: `bad_request`, for a body that breaks its form or holds more than `max_pictures`.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        pictures = [Picture(part) for part in _parts(content_type, content)]
    elif kind == "application/json":
        pictures = [_picture(instance) for instance in _request(content).instances]
    else:
        return Body([Picture(content)], listed=False)
    if len(pictures) > max_pictures:
        raise RequestError("bad_request", f"{len(pictures)} pictures, at most {max_pictures} in one request")
    return Body(pictures, listed=True)


def _request(content: bytes) -> Request:
    try:
        # Strict: a number in quotation marks is none, as the OpenAPI document says.
        return Request.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise RequestError("bad_request", f"{place}: {first['msg']}"[:300]) from error


def _picture(instance: Instance) -> Picture:
    try:
        return Picture(base64.b64decode(instance.image, validate=True), instance.boxes)
    except (binascii.Error, ValueError) as error:
        return Picture(b"", problem=f"image is not base64: {error}")


def _parts(content_type: str, content: bytes) -> list[bytes]:
    """Bodies of the parts; every picture type is binary-safe, so no transfer encoding is undone."""
    found = _BOUNDARY.search(content_type)
    if not found:
        raise RequestError("bad_request", "multipart body without a boundary in its Content-Type")
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    pieces: list[Any] = (b"\r\n" + content).split(b"\r\n" + mark)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise RequestError("bad_request", "multipart body without parts, or cut off before its last boundary")
    parts = []
    for piece in pieces[1:-1]:
        head, gap, body = piece.partition(b"\r\n\r\n")
        if not gap or not head.startswith(b"\r\n"):
            raise RequestError("bad_request", "multipart part without headers and an empty line after them")
        parts.append(body)
    return parts
