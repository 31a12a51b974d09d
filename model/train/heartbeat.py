"""Noticing that another process is gone, and why.

A collective fails when a peer closes its connection, but waits for minutes when the peer's machine vanishes: no packet
says so. So each process gives a sign of life through the team's store, the first one watches all, all watch the
first one, and whoever fails leaves word there. A process that learns of a loss and cannot leave by itself, because it
is stuck in a collective, is ended: checkpoints are complete at any moment.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

import torch.distributed as dist

from model.train.failure import LostPeerError, record

# Seconds that a process has to leave by itself once it knows that another one is gone.
GRACE_S = 10.0
# Seconds that the host of the store stays for the others to read why it leaves.
FAREWELL_S = 5.0

_FAILURE = "failure"

logger = logging.getLogger(__name__)


@dataclass
class _Peer:
    """Signs of life seen of a process, and when the last one came."""

    beats: int = 0
    heard: float = field(default_factory=time.monotonic)


class Watch:
    """The signs of life of one process and its eye on the others'.

    Args:
        limit_s: silence after which a peer counts as lost; one that has not begun yet is never lost.
    """

    def __init__(self, store: dist.Store, rank: int, world: int, limit_s: float) -> None:  # type: ignore[name-defined]
        # A connection of its own: the other one may be waiting for a peer.
        self._store = dist.PrefixStore("watch", store.clone())  # type: ignore[attr-defined]
        self._store.set_timeout(timedelta(seconds=limit_s))
        self._rank, self._world, self._limit = rank, world, limit_s
        self._period = min(2.0, limit_s / 5)
        self._answered = time.monotonic()
        self._peers = {peer: _Peer() for peer in (range(1, world) if rank == 0 else [0])}
        self._cause = ""
        self._caused = threading.Event()
        self._leaving = threading.Event()
        self._left = threading.Event()
        # At once, so that a process which is lost before its first period is missed once the team has met.
        self._store.add(_beats(rank), 1)
        self._beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._beating.start()
        threading.Thread(target=self._guard, name="heartbeat-guard", daemon=True).start()

    def cause(self) -> str:
        """Why a peer is gone, empty where nobody knows; waits for its word to come round."""
        self._caused.wait(2 * self._period)
        return self._cause

    def leave(self, failure: str = "") -> None:
        """Stop watching; the first failure is left for the others to read."""
        self._leaving.set()
        if self._caused.is_set():
            return
        try:
            if failure:
                self._store.compare_set(_FAILURE, "", f"process {self._rank} of {self._world}: {failure}")
            self._store.set(_gone(self._rank), "")
            if self._rank == 0:
                others = [_gone(peer) for peer in range(1, self._world)]
                self._store.wait(others, timedelta(seconds=FAREWELL_S))
        except (RuntimeError, dist.DistError) as error:
            logger.debug("left without a word: %s", error)

    def close(self) -> None:
        """End both threads, after the process group is gone."""
        self._left.set()

    def _beat(self) -> None:
        while not self._leaving.wait(self._period):
            try:
                self._store.add(_beats(self._rank), 1)
                problem = self._word() or self._silent_peer()
            except (RuntimeError, dist.DistError) as error:
                problem = f"the first process cannot be reached ({str(error).splitlines()[0]})"
            self._answered = time.monotonic()
            if problem and not self._leaving.is_set():
                self._learn(problem)
                return

    def _word(self) -> str:
        if not self._store.check([_FAILURE]):
            return ""
        word = self._store.get(_FAILURE).decode(errors="replace")
        self._store.set(_gone(self._rank), "")
        return str(word)

    def _silent_peer(self) -> str:
        """Adding nothing reads a number without waiting for it."""
        now = time.monotonic()
        for number, peer in self._peers.items():
            beats = self._store.add(_beats(number), 0)
            if beats != peer.beats or beats == 0:
                peer.beats, peer.heard = beats, now
            elif now - peer.heard > self._limit:
                problem = f"process {number} of {self._world} has given no sign of life for {self._limit:.0f} s"
                self._store.compare_set(_FAILURE, "", problem)
                return problem
        return ""

    def _learn(self, cause: str) -> None:
        self._cause = cause
        self._caused.set()

    def _guard(self) -> None:
        """The heartbeat itself may hang in a call to a machine that has vanished: so another thread looks at it."""
        while not self._left.wait(self._period):
            silence = time.monotonic() - self._answered
            if silence > self._limit and not self._caused.is_set():
                self._learn(f"the first process has not answered for {silence:.0f} s")
            if self._caused.is_set() and not self._left.wait(GRACE_S):
                _end_process(self._cause)


def _end_process(cause: str) -> None:
    message = f"ended, because another process is gone: {cause}; start again with the same folder to resume"
    logger.critical("%s", message)
    record(LostPeerError(message))
    logging.shutdown()
    os._exit(1)


def _beats(rank: int) -> str:
    return f"beats/{rank}"


def _gone(rank: int) -> str:
    return f"gone/{rank}"
