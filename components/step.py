"""The border between kfp and `model`: what holds for every step, around the one call that does its work."""

import logging
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.journal import Entry, Journal
from model.errors import DataContractError, FaceError, StorageError
from model.storage import digest_tree

BY_CONTRACT = (2, 3, 4)
"""Exit codes of failures that a second try cannot mend."""

RETRIES_S = 600.0
"""A try that comes later than this after a failure is no retry: somebody may have mended the cause."""

CLOCKS_DIFFER_S = 60.0
"""What the clocks of two nodes may differ by, as the next try may start on another one."""

DIGEST = "digest"

_UNREADABLE = (FaceError, OSError, ValueError, TypeError)
"""What a journal fails with that is out of reach, or has an entry that is none."""

_AGAIN = "run the step that writes it without the cache"

_log = logging.getLogger(__name__)


@contextmanager
def step(name: str, *, inputs: Sequence[Any] = (), outputs: Sequence[Any]) -> Iterator[None]:
    """Check the digests of the input artifacts, do the block, put digests on the outputs, and write it all down.

    A `FaceError` ends the process with its exit code. A retry after a failure by contract (configuration, data, gate)
    fails at once the same way. The journal keeps cost and outcome of every try; a journal that is out of reach costs
    its entries and nothing else.

    Args:
        outputs: kfp artifacts; the first one's address names the task.
    """
    _set_level()
    journal, key, started, clock = Journal.from_environment(), outputs[0].uri, time.time(), time.monotonic()
    former = _former(journal, name, key)
    code, message = 1, "ended without a word"
    try:
        _check(inputs)
        yield
        _seal(name, outputs)
        code, message = 0, ""
    except FaceError as error:
        code, message = error.exit_code, str(error)
        print(f"error: {name}: {error}", file=sys.stderr)  # noqa: T201 - the last word
        raise SystemExit(code) from error
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        places = {item.name: {"uri": item.uri, DIGEST: item.metadata[DIGEST]} for item in outputs if code == 0}
        seconds = round(time.monotonic() - clock, 3)
        _note(journal, Entry(name, key, len(former) + 1, started, seconds, *_cost(), code, message, places))


def _set_level() -> None:
    """kfp has set the logging up already; only the level is ours."""
    names = logging.getLevelNamesMapping()
    logging.getLogger().setLevel(names.get(os.environ.get("RMTL_LOG_LEVEL", "INFO").upper(), logging.INFO))


def _former(journal: Journal, name: str, key: str) -> list[Entry]:
    """Earlier tries of this task; ends the process where another one is hopeless."""
    try:
        former = journal.tries(name, key)
    except _UNREADABLE as error:
        _log.warning("former tries are not known: %s", error)
        return []
    for entry in former:
        # A clock that was set back tells no time since then; one more try costs less than a refusal for an hour.
        since = time.time() - entry.started - entry.seconds
        if -CLOCKS_DIFFER_S <= since < RETRIES_S and entry.exit_code in BY_CONTRACT:
            print(f"error: {name}: not tried again: {entry.message}", file=sys.stderr)  # noqa: T201 - the last word
            raise SystemExit(entry.exit_code)
    return former


def _note(journal: Journal, entry: Entry) -> None:
    try:
        journal.add(entry)
    except _UNREADABLE as error:
        _log.warning("%s is not in the run's journal: %s", entry.step, error)


def _check(inputs: Sequence[Any]) -> None:
    for item in inputs:
        stated, what = item.metadata.get(DIGEST), f"input {item.name} ({item.uri})"
        if not stated:
            raise DataContractError(f"{what}: carries no digest, its step did not finish")
        try:
            found = digest_tree(Path(item.path))
        except StorageError as error:
            raise DataContractError(f"{what}: deleted since it was written; {_AGAIN}") from error
        if found != stated:
            raise DataContractError(f"{what}: altered since it was written ({found[:12]}, not {stated[:12]}); {_AGAIN}")


def _seal(name: str, outputs: Sequence[Any]) -> None:
    for item in outputs:
        item.metadata.update({DIGEST: digest_tree(Path(item.path)), "step": name})


def _cost() -> tuple[float, float, int, int]:
    """CPU seconds, largest resident size in MiB, cores, GPUs."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in (own, children))
    memory = max(own.ru_maxrss, children.ru_maxrss) / 1024
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return round(seconds, 2), round(memory, 1), len(os.sched_getaffinity(0)), gpus
