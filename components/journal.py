"""What each step of a run did, as one small JSON a try: where the run's report and its outcome are read from.

kfp passes neither the exit code of a step nor its cost on; a local runner may even call a step successful that was
killed. So every step writes here itself, into a folder or below an `s3://` prefix.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.s3 import reached, s3_client
from model.storage import digest_bytes, write_json

PLACE = "RMTL_JOURNAL"
RUN = "RMTL_RUN"


@dataclass(frozen=True)
class Entry:
    """One try of one step: when, at which cost, and how it ended.

    `key` tells tries of one task from other tasks of the same step. Times are in seconds, `memory_mb` is the largest
    resident size of the step or of a child, `exit_code` 0 a success. `outputs` has address and digest of each output.
    """

    step: str
    key: str
    attempt: int
    started: float
    seconds: float
    cpu_seconds: float
    memory_mb: float
    cores: int
    gpus: int
    exit_code: int
    message: str = ""
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def last_tries(entries: Iterable[Entry]) -> list[Entry]:
    """The last try of each task, in the order in which the tasks began."""
    return list({(entry.step, entry.key): entry for entry in entries}.values())


class Journal:
    """The entries of one run; without a configured place nothing is kept.

    Args:
        place: a folder, or `s3://bucket/prefix`; empty for none.
    """

    def __init__(self, place: str) -> None:
        self._place = place.rstrip("/")

    @classmethod
    def from_environment(cls) -> "Journal":
        """The journal of the run that this process belongs to."""
        place, run = os.environ.get(PLACE, ""), os.environ.get(RUN, "")
        return cls(f"{place.rstrip('/')}/{run}" if place and run else place)

    def add(self, entry: Entry) -> None:
        """Write one entry.

        Raises:
            ServiceError: the bucket is out of reach.
            StorageError: the folder cannot be written.
        """
        name = f"{entry.step}-{digest_bytes(entry.key.encode())[:8]}-{entry.attempt}.json"
        if self._place.startswith("s3://"):
            bucket, prefix = _split(self._place)
            with reached(f"{PLACE}={self._place}"):
                s3_client().put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=json.dumps(asdict(entry)).encode())
        elif self._place:
            write_json(Path(self._place) / name, asdict(entry))

    def entries(self) -> list[Entry]:
        """All entries, tasks in the order in which they began, and the tries of each by number.

        Clocks of two machines may differ: they order tasks, where nothing is decided by it, and never tries.

        Raises:
            ServiceError: the bucket is out of reach.
        """
        tasks: dict[tuple[str, str], list[Entry]] = {}
        for entry in (Entry(**values) for values in self._read()):
            tasks.setdefault((entry.step, entry.key), []).append(entry)
        tries = [sorted(task, key=lambda entry: entry.attempt) for task in tasks.values()]
        return [entry for task in sorted(tries, key=lambda task: task[0].started) for entry in task]

    def tries(self, step: str, key: str) -> list[Entry]:
        """Earlier tries of one task."""
        return [entry for entry in self.entries() if entry.step == step and entry.key == key]

    def _read(self) -> Iterator[dict[str, Any]]:
        if self._place.startswith("s3://"):
            bucket, prefix = _split(self._place)
            with reached(f"{PLACE}={self._place}"):
                yield from _objects(bucket, prefix)
        elif self._place:
            yield from (json.loads(path.read_text()) for path in Path(self._place).glob("*.json"))


def _objects(bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            yield json.loads(s3_client().get_object(Bucket=bucket, Key=item["Key"])["Body"].read())


def _split(place: str) -> tuple[str, str]:
    """Bucket and prefix, which ends in a slash."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""
