"""The outcome of a run comes from what its steps left, whatever the runner says."""

import json
from pathlib import Path

import pytest

from components.journal import Entry
from model.errors import FaceError
from model.storage import digest_tree
from pipelines.outcome import StepFailedError, judge, require


def entry(step: str, output: Path | None = None, code: int = 0, attempt: int = 1) -> Entry:
    outputs = {"out": {"uri": str(output), "digest": digest_tree(output)}} if output else {}
    return Entry(step, "key", attempt, float(attempt), 1.0, 1.0, 1.0, 1, 0, code, "why", outputs)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.write_text("made")
    return path


def test_what_a_step_wrote_is_found_by_its_name(output: Path) -> None:
    assert judge([entry("train", output)], {}) == {"train": [{"out": output}]}


def test_a_step_without_trace_fails_the_run(output: Path) -> None:
    outputs = judge([entry("train", output)], {})
    with pytest.raises(FaceError, match="step evaluate left no trace"):
        require(outputs, ["train", "evaluate"], target="none")


@pytest.mark.parametrize(
    ("gate", "target", "missing"),
    [("fail", "kserve", None), ("pass", "none", "promote"), ("pass", "kserve", "promote")],
)
def test_the_gate_says_which_acts_must_have_left_something(
    gate: str, target: str, missing: str | None, tmp_path: Path
) -> None:
    (tmp_path / "registration").write_text(json.dumps({"gate": gate}))
    outputs = {"register": [{"registration": tmp_path / "registration"}]}
    if missing is None:
        require(outputs, ["register", "promote"], target=target)
        return
    with pytest.raises(FaceError, match=f"step {missing} left no trace"):
        require(outputs, ["register", "promote"], target=target)
    outputs["promote"] = [{}]
    if target == "none":
        require(outputs, ["register", "promote"], target=target)
    else:
        with pytest.raises(FaceError, match="step deploy left no trace"):
            require(outputs, ["register", "promote"], target=target)


def test_what_waits_for_approval_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "registration").write_text(json.dumps({"gate": "pass", "approval": ["grace"]}))
    outputs = {"register": [{"registration": tmp_path / "registration"}]}
    require(outputs, ["register", "promote"], target="kserve")


@pytest.mark.parametrize("code", [2, 3, 4, 5, 143])
def test_the_exit_code_is_that_of_the_failed_step(output: Path, code: int) -> None:
    with pytest.raises(StepFailedError, match="step train failed: why") as caught:
        judge([entry("index", output), entry("train", code=code)], {})
    assert caught.value.exit_code == code


def test_a_failure_that_a_retry_mended_is_none(output: Path) -> None:
    assert list(judge([entry("ingest", code=5), entry("ingest", output, attempt=2)], {})) == ["ingest"]


def test_outputs_that_changed_after_their_step_fail_the_run(output: Path) -> None:
    found = entry("train", output)
    output.write_text("altered")
    with pytest.raises(FaceError, match="not what the step wrote"):
        judge([found], {})
