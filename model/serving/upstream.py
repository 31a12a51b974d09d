"""The TorchServe behind the router, and what it has not answered yet."""

import asyncio

import httpx

DRAIN_POLL_S = 0.05


class Upstream:
    """One TorchServe; connections to it are kept and shared.

    Args:
        token: its own key for inference.
        connections: largest number at once.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float, connections: int) -> None:
        self.in_flight = 0
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections),
            trust_env=False,
        )

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Ask, and be counted until the answer is there."""
        self.in_flight += 1
        try:
            return await self.client.post(path, content=body, headers=headers)
        finally:
            self.in_flight -= 1

    async def drain(self) -> None:
        """Wait for all answers, which every request gets or gives up in time, and close the connections."""
        while self.in_flight:
            await asyncio.sleep(DRAIN_POLL_S)
        await self.client.aclose()
