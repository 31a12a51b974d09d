"""How a local run really ended, read from what its steps left and not from what the runner says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.journal import Entry, last_tries
from components.step import DIGEST
from model.errors import FaceError
from model.storage import digest_tree, read_json
from pipelines.cache import artifacts_of

Outputs = dict[str, list[dict[str, Path]]]
"""Files and folders by name, of each time a step ran or was answered by the cache, by step."""


class StepFailedError(FaceError):
    """A step of the pipeline failed; the exit code is that step's."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(f"step {entry.step} failed: {entry.message}")
        self.exit_code = entry.exit_code  # type: ignore[misc]


def judge(entries: Sequence[Entry], hits: Mapping[str, Sequence[Mapping[str, Any]]]) -> Outputs:
    """What the steps of a run left.

    Raises:
        StepFailedError: the last try of a step failed.
        FaceError: its outputs are not the ones it wrote.
    """
    last = last_tries(entries)
    for entry in last:
        if entry.exit_code:
            raise StepFailedError(entry)
    outputs: Outputs = {}
    for step, found in hits.items():
        outputs[step] = [{item.name: Path(item.path) for item in artifacts_of(values)} for values in found]
    for entry in last:
        outputs.setdefault(entry.step, []).append({name: _checked(entry, item) for name, item in entry.outputs.items()})
    return outputs


def require(outputs: Outputs, needed: Sequence[str], *, target: str) -> None:
    """See that nothing is missing: the needed steps, and what follows from the gate's word.

    Raises:
        FaceError: a step left nothing, whatever the runner says.
    """
    expected = list(needed)
    if "promote" in expected:
        registered = read_json(outputs["register"][0]["registration"]) if "register" in outputs else {"gate": "fail"}
        promoted = registered["gate"] == "pass" and not registered.get("approval")
        expected = [step for step in expected if step != "promote" or promoted]
        expected += ["deploy"] if promoted and target != "none" else []
    for step in expected:
        if step not in outputs:
            raise FaceError(
                f"step {step} left no trace, whatever the runner says: it was killed (memory?) or never started; "
                "its log is above"
            )


def _checked(entry: Entry, item: Mapping[str, str]) -> Path:
    path = Path(item["uri"])
    if digest_tree(path) != item[DIGEST]:
        raise FaceError(f"step {entry.step}: {path} is not what the step wrote; run again")
    return path
