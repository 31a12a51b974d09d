"""Clients that ask without a pause while something happens to the endpoint."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import requests

from model.schema import Deployment


class Answer(NamedTuple):
    """When a request was sent (`time.monotonic`), which version answered it, and after how many seconds."""

    sent: float
    version: str
    seconds: float


@dataclass
class Load:
    """What the clients saw: the answers in the order of their arrival, and what failed."""

    seen: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def answers(self, version: str) -> int:
        """Number of answers by a version."""
        return sum(answer.version == version for answer in list(self.seen))

    def phases(self) -> list[list[Answer]]:
        """Answers in the order in which their requests were sent, neighbours of one version together."""
        found: list[list[Answer]] = []
        for answer in sorted(self.seen):
            if not found or found[-1][-1].version != answer.version:
                found.append([])
            found[-1].append(answer)
        return found

    def versions(self) -> list[str]:
        """The version of each phase."""
        return [answers[0].version for answers in self.phases()]

    def wait(self, number: int, version: str, *, limit_s: float = 60) -> None:
        """Wait until this many answers by a version were seen, or a request failed.

        Raises:
            TimeoutError: fewer in `limit_s` seconds.
        """
        deadline = time.monotonic() + limit_s
        while self.answers(version) < number and not self.failures:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.answers(version)} of {number} answers by {version} in {limit_s} s")
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
                load.seen.append(Answer(sent, answer.headers["X-Model-Version"], time.monotonic() - sent))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=60)
