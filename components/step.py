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
from model.errors import DataContractError, FaceError
from model.storage import digest_tree

BY_CONTRACT = (2, 3, 4)
"""Exit codes of failures that a second try cannot mend."""

DIGEST = "digest"


@contextmanager
def step(name: str, *, inputs: Sequence[Any] = (), outputs: Sequence[Any]) -> Iterator[None]:
    """Check the digests of the input artifacts, do the block, put digests on the outputs, and write it all down.

    A `FaceError` ends the process with its exit code. A retry after a failure by contract (configuration, data, gate)
    fails at once the same way. The journal keeps cost and outcome of every try.

    Args:
        outputs: kfp artifacts; the first one's address names the task.
    """
    logging.basicConfig(level=os.environ.get("RMTL_LOG_LEVEL", "INFO"), format="%(levelname)s %(name)s: %(message)s")
    journal, key, started, clock = Journal.from_environment(), outputs[0].uri, time.time(), time.monotonic()
    former = journal.tries(name, key)
    for entry in former:
        _stop_if_hopeless(name, entry)
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
        journal.add(
            Entry(
                step=name,
                key=key,
                attempt=len(former) + 1,
                started=started,
                seconds=round(time.monotonic() - clock, 3),
                **_cost(),
                exit_code=code,
                message=message,
                outputs=places,
            )
        )


def _stop_if_hopeless(name: str, former: Entry) -> None:
    if former.exit_code in BY_CONTRACT:
        print(f"error: {name}: not tried again: {former.message}", file=sys.stderr)  # noqa: T201 - the last word
        raise SystemExit(former.exit_code)


def _check(inputs: Sequence[Any]) -> None:
    for item in inputs:
        stated = item.metadata.get(DIGEST)
        if not stated:
            raise DataContractError(f"input {item.name} ({item.uri}): carries no digest, its step did not finish")
        found = digest_tree(Path(item.path))
        if found != stated:
            raise DataContractError(
                f"input {item.name} ({item.uri}): {found[:12]} where {stated[:12]} was written; it was altered since, "
                "run the step that writes it without the cache"
            )


def _seal(name: str, outputs: Sequence[Any]) -> None:
    for item in outputs:
        item.metadata.update({DIGEST: digest_tree(Path(item.path)), "step": name})


def _cost() -> dict[str, Any]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in (own, children)), 2),
        "memory_mb": round(max(own.ru_maxrss, children.ru_maxrss) / 1024, 1),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": len(list(Path("/dev").glob("nvidia[0-9]*"))),
    }
