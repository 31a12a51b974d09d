"""A TorchServe behind the router, and what it has not answered yet."""

import asyncio
import logging
import time
from typing import NamedTuple

import httpx

from model.serving.schema import BODY_TYPE_HEADER, DIGEST_HEADER, RequestError

logger = logging.getLogger(__name__)

DRAIN_POLL_S = 0.05
SILENCE_S = 4.0
SLOWEST_BYTES_A_SECOND = 250_000
"""What a slow core works off of a crowded photograph."""


class Question(NamedTuple):
    """A body on its way to the model at `path`, with the Content-Type that the client gave."""

    path: str
    body: bytes
    content_type: str


class Upstream:
    """One TorchServe; connections to it are kept and shared.

    Args:
        token: its own key for inference.
        connections: largest number at once.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float, connections: int) -> None:
        self._sizes: list[int] = []
        self._heard = 0.0
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections),
            trust_env=False,
        )

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._sizes)

    @property
    def is_stalled(self) -> bool:
        """Whether requests have waited without any answer of the model for longer than the largest of them may take."""
        if not self._sizes:
            return False
        return time.monotonic() - self._heard > SILENCE_S + max(self._sizes) / SLOWEST_BYTES_A_SECOND

    async def ask(self, question: Question) -> httpx.Response:
        """The model's own answer; it is counted as under way until then.

        Raises:
            RequestError: `overloaded`: none in time, or one of TorchServe itself.
        """
        if not self._sizes:
            self._heard = time.monotonic()
        self._sizes.append(len(question.body))
        try:
            # As octets: TorchServe would parse JSON and forms in its worker, and lose parts of equal name.
            headers = {BODY_TYPE_HEADER: question.content_type.encode("ascii", "replace").decode()}
            answer = await self.client.post(question.path, content=question.body, headers=headers)
        except httpx.HTTPError as error:
            logger.warning("no answer from TorchServe: %r", error)
            raise RequestError("overloaded", "the model did not answer in time; try again later") from error
        finally:
            self._sizes.remove(len(question.body))
        if DIGEST_HEADER not in answer.headers:
            logger.warning("TorchServe answered %d itself: %s", answer.status_code, answer.text[:200])
            raise RequestError("overloaded", "the model is not ready or its queue is full; try again later")
        self._heard = time.monotonic()
        return answer

    async def drain(self) -> None:
        """Wait for all answers, which every request gets or gives up in time, and close the connections."""
        while self.in_flight:
            await asyncio.sleep(DRAIN_POLL_S)
        await self.client.aclose()
