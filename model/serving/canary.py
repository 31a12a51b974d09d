"""The router's part of a canary: who answers a request, what both answer to the same one, and when it is over."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import httpx

from model.serving.comparison import Breach, SideName, Tally, compare
from model.serving.schema import VERSION_HEADER, RequestError
from model.serving.settings import CanarySettings
from model.serving.upstream import DRAIN_POLL_S, Question, Upstream

logger = logging.getLogger(__name__)

Ask = Callable[[Question], Awaitable[httpx.Response]]


class Turns:
    """Whose turn it is, by counting: of the first n requests, n times the share (rounded down) are chosen."""

    def __init__(self, share: float) -> None:
        self._share = Fraction(str(share))
        self._count = 0

    def choose(self) -> bool:
        """Whether the next request is chosen."""
        self._count += 1
        return self._count * self._share // 1 > (self._count - 1) * self._share // 1


class Canary:
    """A challenger that answers a share of the requests until it breaks a bound.

    Args:
        settings: share and bounds.
        upstream: the challenger's TorchServe.
        shadows: largest number of comparisons at once; beyond it, requests are not compared.
    """

    def __init__(self, settings: CanarySettings, upstream: Upstream, *, shadows: int) -> None:
        self.settings = settings
        self._upstream = upstream
        self._most_shadows = shadows
        self._shares, self._shadows = Turns(settings.share), Turns(settings.limits.shadow)
        self._tally = Tally()
        self._breach: Breach | None = None
        self._ends = False
        self._tasks = set[asyncio.Task[None]]()

    async def answer(self, question: Question, champion: Ask) -> httpx.Response:
        """The answer of the side whose turn it is; the champion's where the challenger has none.

        A champion that fails is made up for by the challenger only where both were to answer.

        Raises:
            RequestError: neither answers.
        """
        if not self._is_open:
            return await champion(question)
        challenged, shadowed = self._shares.choose(), self._shadows.choose()
        asks: dict[SideName, Ask] = {"champion": champion, "challenger": self._upstream.ask}
        order: tuple[SideName, SideName] = ("challenger", "champion") if challenged else ("champion", "challenger")
        first, second = ((name, asks[name]) for name in order)
        try:
            answer = await self._ask(*first, question)
        except RequestError:
            if challenged or (shadowed and self._is_open):
                return await self._ask(*second, question)
            raise
        if shadowed and self._is_open and len(self._tasks) < self._most_shadows:
            task = asyncio.ensure_future(self._shadow(*second, question, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return answer

    def report(self) -> dict[str, Any]:
        """State, share, both numbers of a broken bound, and the sums of both sides."""
        return {
            "state": "rolled_back" if self._breach else "running",
            "reason": self._breach._asdict() if self._breach else None,
            "share": self.settings.share,
            "shadow": self.settings.limits.shadow,
            **self._tally.report(),
        }

    async def drain(self) -> None:
        """Begin nothing new, wait for what is under way, and close the connections."""
        self._ends = True
        while self._tasks:
            await asyncio.sleep(DRAIN_POLL_S)
        await self._upstream.drain()

    async def close(self) -> None:
        """Give up what is under way."""
        self._ends = True
        for task in self._tasks:
            task.cancel()
        await self._upstream.client.aclose()

    @property
    def _is_open(self) -> bool:
        return self._breach is None and not self._ends

    async def _ask(self, name: SideName, ask: Ask, question: Question) -> httpx.Response:
        """Ask one side and count what comes of it."""
        side, started = self._tally.side(name), time.perf_counter()
        try:
            answer = await ask(question)
        except RequestError:
            side.failed()
            raise
        else:
            side.answered(answer.headers.get(VERSION_HEADER, ""), time.perf_counter() - started)
            return answer
        finally:
            self._judge()

    async def _shadow(self, name: SideName, ask: Ask, question: Question, given: httpx.Response) -> None:
        """Ask the other side what the client has its answer to already, and compare."""
        try:
            other = await self._ask(name, ask, question)
            champion, challenger = (other, given) if name == "champion" else (given, other)
            # Many large answers would hold up the requests of others.
            difference = await asyncio.to_thread(compare, champion.content, challenger.content)
        except RequestError:
            return
        except ValueError as error:
            logger.error("answers that cannot be compared: %s", error)
            return
        if self._is_open:
            self._tally.add(difference)
            self._judge()

    def _judge(self) -> None:
        if self._is_open and (found := self._tally.breach(self.settings.limits)):
            self._breach = found
            logger.warning(
                "challenger %s gets no more requests: %s is %.4f, at most %.4f",
                self._tally.challenger.version,
                found.bound,
                found.found,
                found.limit,
            )
