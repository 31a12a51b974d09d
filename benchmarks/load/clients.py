"""Clients that ask one server without a pause, and what they saw."""

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True)
class Target:
    """Where and as whom to ask."""

    url: str
    headers: dict[str, str]


@dataclass
class Seen:
    """Seconds of each answer, requests by status; `retry` counts answers that said when to come back."""

    seconds: list[float] = field(default_factory=list)
    status: Counter[int] = field(default_factory=Counter)
    retry: int = 0


def ask(target: Target, body: bytes, *, clients: int, seconds: float, least: int = 20) -> dict[str, Any]:
    """Ask from `clients` threads for so long, at least so often altogether.

    Returns:
        requests and failures, requests a second, percentiles in milliseconds of those answered with 200, and the
        generator's own processor time in milliseconds a request.
    """
    seen, lock, begun = Seen(), threading.Lock(), time.perf_counter()

    def one() -> None:
        connection = _connect(target)
        while time.perf_counter() - begun < seconds or sum(seen.status.values()) < least:
            sent = time.perf_counter()
            status, retry = _post(connection, target, body)
            took = time.perf_counter() - sent
            with lock:
                seen.status[status] += 1
                seen.retry += retry
                if status == 200:
                    seen.seconds.append(took)

    cost = time.process_time()
    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return summarise(seen, time.perf_counter() - begun, time.process_time() - cost)


def summarise(seen: Seen, wall_s: float, cost_s: float) -> dict[str, Any]:
    """Figures of one load."""
    number = sum(seen.status.values())
    p50, p95, p99 = (np.percentile(seen.seconds, [50, 95, 99]) * 1000).tolist() if seen.seconds else [None] * 3
    return {
        "requests": number,
        "status": {str(code): count for code, count in sorted(seen.status.items())},
        "told_to_come_back": seen.retry,
        "requests_per_s": len(seen.seconds) / wall_s,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "generator_ms": 1000 * cost_s / number,
    }


def _connect(target: Target) -> http.client.HTTPConnection:
    place = urlsplit(target.url)
    return http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)


def _post(connection: http.client.HTTPConnection, target: Target, body: bytes) -> tuple[int, bool]:
    """Status, and whether the answer said when to come back; 0 where there was none."""
    try:
        connection.request("POST", urlsplit(target.url).path, body, target.headers)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        connection.close()
        return 0, False
    return answer.status, answer.headers["Retry-After"] is not None
