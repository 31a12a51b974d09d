"""The door of the endpoint: checks token, size and load before a request reaches TorchServe on its closed port.

On SIGHUP it reads its files anew and sends what comes from then on to the TorchServe that they name; once the former
one has answered all it was asked, the name of the new one is written to `router.active`.

Run: python -m model.serving.router artifacts/serve
"""

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model.errors import FaceError
from model.serving.door import check_token, read_limited
from model.serving.measures import decode
from model.serving.metrics import CONTENT_TYPE_LATEST, METRICS_PATH, Metrics
from model.serving.openapi import DOCUMENT_PATH, document
from model.serving.page import page_routes
from model.serving.schema import (
    BODY_TYPE_HEADER,
    DIGEST_HEADER,
    MEASURES_HEADER,
    STATUS,
    VERSION_HEADER,
    ErrorCode,
    RequestError,
    problem,
)
from model.serving.settings import ACTIVE_FILE, RouterSettings, read_settings
from model.serving.upstream import Upstream
from model.storage import atomic_path

logger = logging.getLogger(__name__)

PING_TIMEOUT_S = 2.0


class Router:
    """The application's state: keys, limits, whom it asks, and the requests under way."""

    def __init__(self, settings: RouterSettings, *, token: str, upstream_token: str) -> None:
        self._settings = settings
        self._token = token.encode()
        self._in_flight = 0
        self._metrics = Metrics(in_flight=lambda: self._in_flight, limit=lambda: self._settings.max_in_flight)
        self._upstream = _upstream(settings, upstream_token)

    async def switch(self, settings: RouterSettings, *, token: str, upstream_token: str) -> None:
        """Ask another TorchServe from now on; returns once the former one has answered all that it was asked."""
        former = self._upstream
        self._settings, self._token = settings, token.encode()
        self._upstream = _upstream(settings, upstream_token)
        await former.drain()

    @property
    def app(self) -> Starlette:
        """The ASGI application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            try:
                yield
            finally:
                await self._upstream.client.aclose()

        return Starlette(
            routes=[
                Route(f"/predictions/{self._settings.model}", self._predict, methods=["POST"]),
                Route("/ping", self._ping, methods=["GET"]),
                Route(METRICS_PATH, self._show_metrics, methods=["GET"]),
                Route(DOCUMENT_PATH, self._describe, methods=["GET"]),
                *page_routes(),
            ],
            exception_handlers={HTTPException: self._elsewhere, Exception: self._failed},
            lifespan=lifespan,
        )

    async def _predict(self, request: Request) -> Response:
        try:
            check_token(request, self._token)
            if self._in_flight >= self._settings.max_in_flight:
                raise RequestError("overloaded", f"{self._in_flight} requests are under way; try again later")
            self._in_flight += 1
            try:
                started = time.perf_counter()
                body = await read_limited(request, self._settings.max_body_bytes)
                return await self._forward(body, request.headers.get("content-type", ""), started)
            finally:
                self._in_flight -= 1
        except RequestError as error:
            self._metrics.refused(error.code)
            return self._refusal(error.code, str(error))

    async def _ping(self, _: Request) -> Response:
        ready = await self._is_ready()
        status = "ready" if ready else "unavailable"
        return JSONResponse({"status": status, "model": self._settings.model}, 200 if ready else 503)

    async def _is_ready(self) -> bool:
        try:
            answer = await self._upstream.client.get("/ping", timeout=PING_TIMEOUT_S)
            return answer.status_code == 200 and bool(answer.json().get("status") == "Healthy")
        except (httpx.HTTPError, ValueError):
            return False

    async def _show_metrics(self, request: Request) -> Response:
        try:
            check_token(request, self._token)
        except RequestError as error:
            return self._refusal(error.code, str(error))
        shown = self._metrics.show(ready=await self._is_ready())
        return Response(shown, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(document(self._settings.model))

    async def _forward(self, body: bytes, content_type: str, started: float) -> Response:
        # As octets: TorchServe would parse JSON and forms in its worker, and lose parts of equal name.
        path = f"/predictions/{self._settings.model}"
        try:
            headers = {BODY_TYPE_HEADER: content_type.encode("ascii", "replace").decode()}
            answer = await self._upstream.post(path, body, headers)
        except httpx.HTTPError as error:
            logger.warning("no answer from TorchServe: %r", error)
            raise RequestError("overloaded", "the model did not answer in time; try again later") from error
        if DIGEST_HEADER not in answer.headers:
            logger.warning("TorchServe answered %d itself: %s", answer.status_code, answer.text[:200])
            raise RequestError("overloaded", "the model is not ready or its queue is full; try again later")
        seen = decode(answer.headers.get(MEASURES_HEADER))
        self._metrics.answered(answer.headers.get(VERSION_HEADER, ""), time.perf_counter() - started, seen)
        kept = {name: answer.headers[name] for name in (VERSION_HEADER, DIGEST_HEADER)}
        return Response(answer.content, answer.status_code, kept, media_type="application/json")

    def _refusal(self, code: ErrorCode, message: str) -> Response:
        headers = {}
        if code == "overloaded":
            headers["Retry-After"] = str(self._settings.retry_after_s)
        elif code == "unauthorized":
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": problem(code, message)}, STATUS[code], headers)

    async def _elsewhere(self, request: Request, error: Exception) -> Response:
        status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
        message = f"{request.method} {request.url.path[:100]}: no such address; GET {DOCUMENT_PATH} lists them"
        return JSONResponse({"error": problem("bad_request", message)}, status, headers)

    async def _failed(self, _: Request, error: Exception) -> Response:
        logger.error("router failed: %r", error)
        self._metrics.refused("overloaded")
        return self._refusal("overloaded", "the request could not be served; try again later")


def _upstream(settings: RouterSettings, token: str) -> Upstream:
    # Beside the requests under way there are questions whether it is ready.
    return Upstream(settings.upstream, token, timeout_s=settings.timeout_s, connections=settings.max_in_flight + 4)


async def follow(router: Router, folder: Path) -> None:
    """Switch to what the files say now, and tell it; with unreadable files all stays as it is."""
    try:
        settings, tokens = read_settings(folder)
    except (FaceError, OSError, KeyError, TypeError) as error:
        logger.error("settings not taken over: %r", error)
        return
    await router.switch(settings, **tokens)
    with atomic_path(folder / ACTIVE_FILE) as temporary:
        temporary.write_text(settings.server)
    logger.info("%s answers now", settings.server)


async def serve(folder: Path) -> None:
    """Answer until terminated, following the files on SIGHUP."""
    settings, tokens = read_settings(folder)
    router, tasks = Router(settings, **tokens), set[asyncio.Task[None]]()

    def reload() -> None:
        task = asyncio.ensure_future(follow(router, folder))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    config = uvicorn.Config(
        router.app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=json.dumps({"time": "%(asctime)s", "text": "%(message)s"}))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(serve(Path(sys.argv[1])))
