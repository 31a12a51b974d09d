"""What every server checks before it looks at a request: the token, and how large the body is."""

import asyncio
import hmac

from starlette.requests import ClientDisconnect, Request

from model.serving.schema import RequestError

BODY_TIMEOUT_S = 30.0


def check_token(request: Request, token: bytes) -> None:
    """Raises:
    RequestError: `unauthorized`, for no token or another one.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
        raise RequestError("unauthorized", "send `Authorization: Bearer TOKEN` with the token of this endpoint")


async def read_limited(request: Request, limit: int) -> bytes:
    """The body, of which no more than `limit` bytes are read.

    Raises:
        RequestError: `body_too_large`, or `bad_request` where it does not arrive within 30 s.
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
