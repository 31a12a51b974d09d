"""The routes of the Open Inference Protocol before one predictor in this process."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import model
from model.serving.entry import check_token, read_within, refusal_headers
from model.serving.predictor import Predictor
from model.serving.schema import DIGEST_HEADER, STATUS, VERSION_HEADER, ErrorCode, RequestError
from model.serving.v2.tensors import INPUTS, OUTPUTS, InferRequest, read_pictures, read_request, write_answers


@dataclass(frozen=True)
class Limits:
    """How much one request and all together may ask."""

    max_body_bytes: int
    max_in_flight: int
    max_pictures: int
    retry_after_s: int


class V2App:
    """The application; one thread computes, requests wait for it."""

    def __init__(self, predictor: Predictor, *, name: str, token: str, limits: Limits) -> None:
        self._predictor, self._name, self._token, self._limits = predictor, name, token.encode(), limits
        self._in_flight = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predictor")

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        one = f"/v2/models/{self._name}"
        both = (one, f"{one}/versions/{self._predictor.model_version}")
        routes = [
            Route("/v2", self._describe_server),
            Route("/v2/health/live", self._healthy),
            Route("/v2/health/ready", self._healthy),
        ]
        for path in both:
            routes += [
                Route(path, self._describe_model),
                Route(f"{path}/ready", self._healthy),
                Route(f"{path}/infer", self._infer, methods=["POST"]),
            ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self._elsewhere})

    async def _infer(self, request: Request) -> Response:
        try:
            check_token(request, self._token)
            if self._in_flight >= self._limits.max_in_flight:
                raise RequestError("overloaded", f"{self._in_flight} requests are under way; try again later")
            self._in_flight += 1
            try:
                asked = read_request(await read_within(request, self._limits.max_body_bytes))
                return await self._answer(asked)
            finally:
                self._in_flight -= 1
        except RequestError as error:
            return self._refusal(error.code, str(error))

    async def _answer(self, asked: InferRequest) -> Response:
        pictures = read_pictures(asked, max_pictures=self._limits.max_pictures)
        answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._predictor.predict_many, pictures)
        if len(answers) == 1 and answers[0]["error"]:
            raise RequestError(**answers[0]["error"])
        headers = {VERSION_HEADER: self._predictor.model_version, DIGEST_HEADER: self._predictor.data_digest}
        return JSONResponse(write_answers(answers, asked, model=self._name), headers=headers)

    async def _healthy(self, _: Request) -> Response:
        return JSONResponse({"live": True, "ready": True, "name": self._name})

    async def _describe_server(self, _: Request) -> Response:
        return JSONResponse({"name": "residual-mtl", "version": model.__version__, "extensions": []})

    async def _describe_model(self, _: Request) -> Response:
        return JSONResponse(
            {
                "name": self._name,
                "versions": [self._predictor.model_version],
                "platform": "residual-mtl",
                "inputs": [_metadata(name, *value) for name, value in INPUTS.items()],
                "outputs": [_metadata(name, *value) for name, value in OUTPUTS.items()],
            }
        )

    def _refusal(self, code: ErrorCode, message: str) -> Response:
        headers = refusal_headers(code, retry_after_s=self._limits.retry_after_s)
        return JSONResponse({"error": f"{code}: {message}"}, STATUS[code], headers)

    async def _elsewhere(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return JSONResponse({"error": f"{request.method} {request.url.path[:100]}: no such address"}, status)


def _metadata(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}
