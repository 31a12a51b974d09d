"""The door of the endpoint: checks token, size and load before a request reaches TorchServe on its closed port.

On SIGHUP it reads its files anew and sends what comes from then on to the TorchServe that they name, or to the two of a
canary; once the former one has answered all it was asked, the new one is named in `router.active`.

Run: python -m model.serving.router artifacts/serve
"""

import asyncio
import json
import logging
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from model.errors import FaceError
from model.serving.canary import Canary
from model.serving.entry import check_content_type, check_token, read_within, refusal_headers
from model.serving.measures import decode
from model.serving.metrics import CONTENT_TYPE_LATEST, METRICS_PATH, Metrics
from model.serving.openapi import DOCUMENT_PATH, document
from model.serving.page import page_routes
from model.serving.schema import (
    DIGEST_HEADER,
    MEASURES_HEADER,
    STATUS,
    VERSION_HEADER,
    ErrorCode,
    RequestError,
    problem,
)
from model.serving.settings import (
    CANARY_PATH,
    MANAGEMENT_PATH,
    REFUSED_FILE,
    RouterSettings,
    asked_switch,
    read_settings,
    tell_switched,
)
from model.serving.upstream import Question, Upstream

logger = logging.getLogger(__name__)

PING_TIMEOUT_S = 2.0
CHALLENGER_TIMEOUT_S = 10.0
"""After it the champion is asked, and a client waits for both."""


class Router:
    """The application's state: keys, limits, whom it asks, and the requests under way."""

    def __init__(self, settings: RouterSettings, *, refused: Callable[[], bool] = lambda: False, **tokens: str) -> None:
        self._in_flight = 0
        self._metrics = Metrics(
            in_flight=lambda: self._in_flight, limit=lambda: self._settings.max_in_flight, refused=refused
        )
        self._canary: Canary | None = None
        self._take(settings, **tokens)

    async def switch(self, settings: RouterSettings, **tokens: str) -> None:
        """Ask as other settings say from now on; returns once the former servers have answered all they were asked."""
        former, canary = self._upstream, self._canary
        self._take(settings, **tokens)
        if canary and canary is not self._canary:
            await canary.drain()
        await former.drain()

    def _take(
        self,
        settings: RouterSettings,
        *,
        token: str,
        upstream_token: str,
        management_token: str = "",
        canary_token: str = "",
    ) -> None:
        self._settings = settings
        self._token, self._management_token = token.encode(), management_token.encode()
        self._upstream = _connect(settings, settings.upstream, upstream_token)
        if settings.canary is None:
            self._canary = None
        elif self._canary is None or self._canary.settings != settings.canary:
            challenger = _connect(settings, settings.canary.upstream, canary_token, limit_s=CHALLENGER_TIMEOUT_S)
            self._canary = Canary(settings.canary, challenger, shadows=settings.max_in_flight)

    @property
    def app(self) -> Starlette:
        """The ASGI application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            try:
                yield
            finally:
                if self._canary:
                    await self._canary.close()
                await self._upstream.client.aclose()

        return Starlette(
            routes=[
                Route(f"/predictions/{self._settings.model}", self._predict, methods=["POST"]),
                Route("/ping", self._ping, methods=["GET"]),
                Route(METRICS_PATH, self._show_metrics, methods=["GET"]),
                Route(DOCUMENT_PATH, self._describe, methods=["GET"]),
                *page_routes(),
                Mount(MANAGEMENT_PATH, routes=[Route(CANARY_PATH, self._show_canary, methods=["GET"])]),
            ],
            exception_handlers={HTTPException: self._elsewhere, Exception: self._failed},
            lifespan=lifespan,
        )

    async def _predict(self, request: Request) -> Response:
        try:
            check_token(request, self._token)
            kind = check_content_type(request)
            if self._in_flight >= self._settings.max_in_flight:
                raise RequestError("overloaded", f"{self._in_flight} requests are under way; try again later")
            self._in_flight += 1
            try:
                started = time.perf_counter()
                body = await read_within(request, self._settings.max_body_bytes)
                return await self._forward(body, kind, started)
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
        if self._upstream.is_stalled:
            return False
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

    async def _show_canary(self, request: Request) -> Response:
        """For who owns the endpoint's folder, not for clients."""
        try:
            check_token(request, self._management_token)
        except RequestError as error:
            return self._refusal(error.code, str(error))
        return JSONResponse(self._canary.report() if self._canary else {"state": "none"})

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(document(self._settings.model))

    async def _forward(self, body: bytes, content_type: str, started: float) -> Response:
        question = Question(f"/predictions/{self._settings.model}", body, content_type)
        if self._canary:
            answer = await self._canary.answer(question, self._ask_champion)
        else:
            answer = await self._ask_champion(question)
        seen = decode(answer.headers.get(MEASURES_HEADER))
        self._metrics.answered(answer.headers.get(VERSION_HEADER, ""), time.perf_counter() - started, seen)
        kept = {name: answer.headers[name] for name in (VERSION_HEADER, DIGEST_HEADER)}
        return Response(answer.content, answer.status_code, kept, media_type="application/json")

    async def _ask_champion(self, question: Question) -> httpx.Response:
        return await self._upstream.ask(question)

    def _refusal(self, code: ErrorCode, message: str) -> Response:
        headers = refusal_headers(code, retry_after_s=self._settings.retry_after_s)
        return JSONResponse({"error": problem(code, message)}, STATUS[code], headers)

    async def _elsewhere(self, request: Request, error: Exception) -> Response:
        status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
        message = f"{request.method} {request.url.path[:100]}: no such address; GET {DOCUMENT_PATH} lists them"
        return JSONResponse({"error": problem("bad_request", message)}, status, headers)

    async def _failed(self, _: Request, error: Exception) -> Response:
        logger.error("router failed: %r", error)
        self._metrics.refused("overloaded")
        return self._refusal("overloaded", "the request could not be served; try again later")


def _connect(settings: RouterSettings, url: str, token: str, *, limit_s: float = math.inf) -> Upstream:
    # Beside the requests under way there are a canary's comparisons, and questions whether it is ready.
    connections = 2 * settings.max_in_flight + 4
    return Upstream(url, token, timeout_s=min(settings.timeout_s, limit_s), connections=connections)


async def follow(router: Router, folder: Path) -> None:
    """Switch to what the files say now, and tell it; with unreadable files all stays as it is."""
    try:
        # In this order: settings that are read after the mark are no older than it.
        mark, (settings, tokens) = asked_switch(folder), read_settings(folder)
    except (FaceError, OSError, KeyError, TypeError, ValueError) as error:
        logger.error("settings not taken over: %r", error)
        return
    await router.switch(settings, **tokens)
    tell_switched(folder, settings.server, mark)
    logger.info("%s answers now", settings.server)


async def serve(folder: Path) -> None:
    """Answer until terminated, following the files on SIGHUP."""
    settings, tokens = read_settings(folder)
    router = Router(settings, refused=(folder / REFUSED_FILE).is_file, **tokens)
    tasks = set[asyncio.Task[None]]()

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
