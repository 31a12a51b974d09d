"""How a local run really ended, read from what its steps left and not from what the runner says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.journal import Entry
from components.step import DIGEST
from model.errors import FaceError
from model.storage import digest_tree
from pipelines.cache import artifacts_of


class StepFailedError(FaceError):
    """A step of the pipeline failed; the exit code is that step's."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(f"step {entry.step} failed: {entry.message}")
        self.exit_code = entry.exit_code  # type: ignore[misc]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: address of each step's outputs by step and name, and which steps ran."""

    ran: list[str]
    cached: list[str]
    outputs: dict[str, list[dict[str, Path]]]


def judge(
    entries: Sequence[Entry], hits: Mapping[str, Sequence[Mapping[str, Any]]], *, needed: Sequence[str]
) -> Outcome:
    """The outcome of a run in which every needed step either ran to its end or was answered by the cache.

    Raises:
        StepFailedError: the last try of a step failed.
        FaceError: a step left nothing, whatever the runner says, or its outputs are not the ones it wrote.
    """
    last = {(entry.step, entry.key): entry for entry in entries}
    for entry in last.values():
        if entry.exit_code:
            raise StepFailedError(entry)
    outputs: dict[str, list[dict[str, Path]]] = {}
    for step, found in hits.items():
        outputs[step] = [{item.name: Path(item.path) for item in artifacts_of(values)} for values in found]
    for entry in last.values():
        outputs.setdefault(entry.step, []).append({name: _checked(entry, item) for name, item in entry.outputs.items()})
    missing = [step for step in needed if step not in outputs]
    if missing:
        raise FaceError(
            f"step {missing[0]} left no trace, whatever the runner says: it was killed (memory?) or never started; "
            "its log is above"
        )
    return Outcome([entry.step for entry in last.values()], sorted(hits), outputs)


def _checked(entry: Entry, item: Mapping[str, str]) -> Path:
    path = Path(item["uri"])
    if digest_tree(path) != item[DIGEST]:
        raise FaceError(f"step {entry.step}: {path} is not what the step wrote; run again")
    return path
