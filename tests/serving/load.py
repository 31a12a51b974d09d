"""Clients that ask without a pause while something happens to the endpoint."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from model.schema import Deployment


@dataclass
class Load:
    """What the clients saw: when each request was sent, and its status and version, or the failure."""

    seen: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def answers(self, version: str) -> int:
        """Number of answers by a version."""
        return sum(given == version for _, given in self.seen)

    def phases(self) -> list[str]:
        """Versions in the order in which requests were sent, equal neighbours taken together."""
        given = [version for _, version in sorted(self.seen)]
        return [version for place, version in enumerate(given) if place == 0 or version != given[place - 1]]

    def wait(self, number: int, version: str, *, limit_s: float = 60) -> None:
        """Wait until this many answers by a version were seen."""
        deadline = time.monotonic() + limit_s
        while self.answers(version) < number and not self.failures:
            assert time.monotonic() < deadline, f"{self.answers(version)} of {number} answers by {version}"
            time.sleep(0.05)


@contextmanager
def under_load(deployment: Deployment, body: bytes, *, clients: int = 2, kind: str = "image/png") -> Iterator[Load]:
    """Ask from several threads until the block ends."""
    load, over = Load(), threading.Event()
    token = Path(str(deployment.key_file)).read_text().strip()
    url = f"{deployment.url}/predictions/{deployment.model}"

    def ask() -> None:
        session = requests.Session()
        session.headers.update({"Authorization": f"Bearer {token}", "Content-Type": kind})
        while not over.is_set():
            sent = time.monotonic()
            try:
                answer = session.post(url, data=body, timeout=60)
            except requests.RequestException as error:
                load.failures.append(repr(error))
                continue
            if answer.status_code != 200:
                load.failures.append(f"{answer.status_code}: {answer.text[:200]}")
            else:
                load.seen.append((sent, answer.headers["X-Model-Version"]))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=60)
