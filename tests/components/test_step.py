"""The border of a step: digests, exit codes, and what the journal keeps of every try."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from components.journal import PLACE, Entry, Journal, last_tries
from components.step import step
from model.errors import ConfigError, FaceError, GateError, ServiceError
from tests.components.artifacts import made


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv(PLACE, str(tmp_path / "journal"))
    yield Journal(str(tmp_path / "journal"))


def run(output, error: Exception | None = None, inputs=()) -> None:
    with step("index", inputs=inputs, outputs=[output]):
        Path(output.path).write_text("made")
        if error:
            raise error


def test_outputs_carry_the_digest_of_their_bytes(tmp_path: Path, journal: Journal) -> None:
    output, other = made(tmp_path, "a"), made(tmp_path, "b")
    run(output)
    run(other)
    assert output.metadata["digest"] == other.metadata["digest"]
    (entry, _) = journal.entries()
    assert (entry.step, entry.exit_code, entry.attempt) == ("index", 0, 1)
    assert entry.outputs == {"a": {"uri": output.uri, "digest": output.metadata["digest"]}}


def test_the_cost_of_a_step_is_kept(tmp_path: Path, journal: Journal) -> None:
    output = made(tmp_path, "a")
    with step("index", outputs=[output]):
        Path(output.path).write_text("made")
        threading.Event().wait(0.2)
    (entry,) = journal.entries()
    assert entry.seconds >= 0.2
    assert entry.memory_mb > 1
    assert entry.cores >= 1


@pytest.mark.parametrize("error", [ConfigError("train.lr: wrong"), ServiceError("away"), FaceError("broken")])
def test_a_failure_ends_the_process_with_its_exit_code(
    error: FaceError, tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=str(error.exit_code)):
        run(made(tmp_path, "a"), error)
    (entry,) = journal.entries()
    assert (entry.exit_code, entry.message, entry.outputs) == (error.exit_code, str(error), {})
    assert str(error) in capsys.readouterr().err


def test_an_unforeseen_error_is_written_down_and_raised(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError, match="by nothing"):
        run(made(tmp_path, "a"), ZeroDivisionError("by nothing"))
    assert journal.entries()[0].message == "ZeroDivisionError: by nothing"


def test_a_failure_by_contract_is_not_tried_again(tmp_path: Path, journal: Journal) -> None:
    output = made(tmp_path, "a")
    with pytest.raises(SystemExit, match="2"):
        run(output, ConfigError("wrong"))
    with pytest.raises(SystemExit, match="2"):
        run(output)
    assert len(journal.entries()) == 1


def test_a_mended_cause_is_tried_again_later(tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    output = made(tmp_path, "a")
    with pytest.raises(SystemExit, match="2"):
        run(output, ConfigError("wrong"))
    monkeypatch.setattr("components.step.RETRIES_S", 0.0)
    run(output)
    assert [entry.exit_code for entry in journal.entries()] == [2, 0]


def test_a_journal_out_of_reach_changes_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "add", _away)
    monkeypatch.setattr(Journal, "entries", _away)
    run(made(tmp_path, "a"))
    with pytest.raises(SystemExit, match="4"):
        run(made(tmp_path, "b"), GateError("not met"))


def _away(*_: object) -> NoReturn:
    raise ServiceError("the bucket is away")


def test_a_journal_in_no_folder_or_with_a_torn_entry_changes_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(PLACE, str(tmp_path / "file"))
    run(made(tmp_path, "a"))
    with pytest.raises(SystemExit, match="4"):
        run(made(tmp_path, "b"), GateError("not met"))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/index-0-1.json").write_text('{"step": "in')
    monkeypatch.setenv(PLACE, str(tmp_path / "torn"))
    run(made(tmp_path, "c"))


def test_a_service_out_of_reach_is_tried_again(tmp_path: Path, journal: Journal) -> None:
    output = made(tmp_path, "a")
    with pytest.raises(SystemExit, match="5"):
        run(output, ServiceError("away"))
    run(output)
    assert [(entry.attempt, entry.exit_code) for entry in journal.entries()] == [(1, 5), (2, 0)]


def test_an_altered_input_is_refused(tmp_path: Path, journal: Journal) -> None:
    """T15."""
    first = made(tmp_path, "a")
    run(first)
    Path(first.path).write_text("altered")
    with pytest.raises(SystemExit, match="3"):
        run(made(tmp_path, "b"), inputs=[first])
    assert "altered since" in journal.entries()[-1].message


def test_a_deleted_input_is_refused(tmp_path: Path, journal: Journal) -> None:
    """T15."""
    first = made(tmp_path, "a")
    run(first)
    Path(first.path).unlink()
    with pytest.raises(SystemExit, match="3"):
        run(made(tmp_path, "b"), inputs=[first])
    assert "deleted since" in journal.entries()[-1].message


def test_an_input_whose_step_never_finished_is_refused(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(SystemExit, match="3"):
        run(made(tmp_path, "b"), inputs=[made(tmp_path, "a", "half")])
    assert "did not finish" in journal.entries()[0].message


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACE, raising=False)
    run(made(tmp_path, "a"))
    assert Journal.from_environment().entries() == []


def test_entries_come_back_as_they_were(journal: Journal) -> None:
    entry = Entry("train", "somewhere", 1, 12.5, 3.0, 2.5, 100.0, 2, 1, 0, "", {"weights": {"uri": "x", "digest": "y"}})
    journal.add(entry)
    assert journal.entries() == [entry]
    assert journal.tries("train", "elsewhere") == []


def test_tries_are_ordered_by_number_when_the_clock_went_back(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T23: the outcome of a task is that of its last try, though the first one bears a later time."""
    output, now = made(tmp_path, "a"), time.time()
    monkeypatch.setattr("components.step.time.time", lambda: now)
    with pytest.raises(SystemExit, match="5"):
        run(output, ServiceError("away"))
    monkeypatch.setattr("components.step.time.time", lambda: now - 3600)
    run(output)
    assert [(entry.attempt, entry.exit_code) for entry in journal.entries()] == [(1, 5), (2, 0)]
    assert [entry.exit_code for entry in last_tries(journal.entries())] == [0]


def test_a_mended_cause_is_not_refused_for_an_hour_when_the_clock_went_back(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T23: such a failure is in the future, so nobody knows how long ago it was."""
    output, now = made(tmp_path, "a"), time.time()
    monkeypatch.setattr("components.step.time.time", lambda: now)
    with pytest.raises(SystemExit, match="2"):
        run(output, ConfigError("wrong"))
    monkeypatch.setattr("components.step.time.time", lambda: now - 3600)
    run(output)
    assert [entry.exit_code for entry in journal.entries()] == [2, 0]
