"""What a request has to bring before anybody looks at it: a token, and a body of bounded size."""

import asyncio
import hmac

from starlette.requests import ClientDisconnect, Request

from model.serving.schema import ErrorCode, RequestError

BODY_TIMEOUT_S = 30.0
LONGEST_CONTENT_TYPE = 1000
"""Characters; TorchServe takes 8 kB of headers in all, and refuses more without a word to the model."""


def check_token(request: Request, expected: bytes) -> None:
    """See that the request carries this token; an empty one lets nobody in.

    Raises:
        RequestError: it does not.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip().encode()
    if scheme.lower() != "bearer" or not expected or not hmac.compare_digest(given, expected):
        raise RequestError("unauthorized", "send `Authorization: Bearer TOKEN` with the token of this endpoint")


def check_content_type(request: Request) -> str:
    """The Content-Type of a request, empty where it has none.

    Raises:
        RequestError: `bad_request`: it is longer than any that means something.
    """
    kind = request.headers.get("content-type", "")
    if len(kind) > LONGEST_CONTENT_TYPE:
        message = f"Content-Type of {len(kind)} characters, at most {LONGEST_CONTENT_TYPE}; shorten its boundary"
        raise RequestError("bad_request", message)
    return kind


async def read_within(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes.

    Raises:
        RequestError: it is larger, or did not arrive in time.
    """
    message = f"body of more than {limit} bytes; send fewer or smaller pictures"
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise RequestError("body_too_large", message)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise RequestError("body_too_large", message)
    except (TimeoutError, ClientDisconnect) as error:
        raise RequestError("bad_request", f"body did not arrive within {BODY_TIMEOUT_S:.0f} s") from error
    return bytes(body)


def refusal_headers(code: ErrorCode, *, retry_after_s: int) -> dict[str, str]:
    """What a refusal says beside its body: when to come back, or how to ask."""
    if code == "overloaded":
        return {"Retry-After": str(retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if code == "unauthorized" else {}
