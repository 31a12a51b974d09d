"""The outcome of a run comes from what its steps left, whatever the runner says."""

from pathlib import Path

import pytest

from components.journal import Entry
from model.errors import FaceError
from model.storage import digest_tree
from pipelines.outcome import StepFailedError, judge


def entry(step: str, output: Path | None = None, code: int = 0, attempt: int = 1) -> Entry:
    outputs = {"out": {"uri": str(output), "digest": digest_tree(output)}} if output else {}
    return Entry(step, "key", attempt, float(attempt), 1.0, 1.0, 1.0, 1, 0, code, "why", outputs)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.write_text("made")
    return path


def test_what_a_step_wrote_is_found_by_its_name(output: Path) -> None:
    outcome = judge([entry("train", output)], {}, needed=["train"])
    assert outcome.outputs["train"] == [{"out": output}]
    assert outcome.ran == ["train"]


def test_a_step_without_trace_fails_the_run(output: Path) -> None:
    with pytest.raises(FaceError, match="step evaluate left no trace"):
        judge([entry("train", output)], {}, needed=["train", "evaluate"])


@pytest.mark.parametrize("code", [2, 3, 4, 5, 143])
def test_the_exit_code_is_that_of_the_failed_step(output: Path, code: int) -> None:
    with pytest.raises(StepFailedError, match="step train failed: why") as caught:
        judge([entry("index", output), entry("train", code=code)], {}, needed=[])
    assert caught.value.exit_code == code


def test_a_failure_that_a_retry_mended_is_none(output: Path) -> None:
    outcome = judge([entry("ingest", code=5), entry("ingest", output, attempt=2)], {}, needed=["ingest"])
    assert outcome.ran == ["ingest"]


def test_outputs_that_changed_after_their_step_fail_the_run(output: Path) -> None:
    found = entry("train", output)
    output.write_text("altered")
    with pytest.raises(FaceError, match="not what the step wrote"):
        judge([found], {}, needed=["train"])
