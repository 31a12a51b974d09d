"""From a kept cause, an exit code or the last line to an error of ours."""

import logging

import pytest

from model.errors import CheckpointError, ConfigError, DataContractError
from model.launch.outcome import Lines, error_of, with_restarts
from model.train.failure import FAILURE_FILE, Failure, LostPeerError, TrainingError, read, record
from model.train.interrupt import TerminatedError


@pytest.mark.parametrize(
    "kind", [ConfigError, DataContractError, TerminatedError, CheckpointError, TrainingError, LostPeerError]
)
def test_a_kept_error_comes_back_as_it_was(kind, tmp_path, monkeypatch):
    monkeypatch.setenv(FAILURE_FILE, str(tmp_path / "failure.json"))
    record(kind("what, where, what to do"))
    error = error_of(read(tmp_path / "failure.json"), 1, "noise", asked=True)
    assert type(error) is kind
    assert str(error) == "what, where, what to do"


def test_the_first_cause_is_kept_and_a_lost_peer_gives_way_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv(FAILURE_FILE, str(tmp_path / "failure.json"))
    for error in (
        LostPeerError("it has left"),
        DataContractError("damaged"),
        TrainingError("later"),
        LostPeerError("x"),
    ):
        record(error)
    assert read(tmp_path / "failure.json") == Failure("DataContractError", 3, "damaged", lost=False)


@pytest.mark.parametrize(
    ("code", "kind"), [(2, ConfigError), (3, DataContractError), (143, TerminatedError), (1, LostPeerError)]
)
def test_without_a_kept_cause_the_exit_code_and_the_last_error_line_tell(code, kind):
    lines = Lines()
    for piece in ("INFO x: reading\nERROR mo", "del.train: out of paper\nINFO x: bye\n"):
        lines.feed(piece)
    error = error_of(None, code, lines.error, asked=True)
    assert type(error) is kind
    assert "ERROR model.train: out of paper" in str(error)


def test_a_process_that_was_killed_counts_as_lost():
    assert type(error_of(None, 9, "", asked=False)) is LostPeerError


@pytest.mark.parametrize("kept", [None, Failure("TerminatedError", 143, "asked to end", lost=False)])
def test_a_team_that_somebody_else_asked_to_end_counts_as_lost(kept):
    """T25, T26: a node that is drained asks its processes, nobody asked the launcher."""
    assert type(error_of(kept, 143, "asked to end", asked=False)) is LostPeerError
    assert type(error_of(kept, 143, "asked to end", asked=True)) is TerminatedError


def test_lines_reach_the_log_at_their_level(caplog):
    with caplog.at_level(logging.INFO, logger="model.launch"):
        Lines().feed("WARNING a: careful\nplain\n")
    assert [(item.levelname, item.message) for item in caplog.records] == [
        ("WARNING", "WARNING a: careful"),
        ("INFO", "plain"),
    ]


def test_only_a_lost_process_is_a_reason_to_start_again():
    tries = []

    def attempt(*errors):
        def run():
            tries.append(1)
            if len(tries) <= len(errors):
                raise errors[len(tries) - 1]

        return run

    with_restarts(attempt(LostPeerError("a"), LostPeerError("b")), 2)
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(LostPeerError, match="b"):
        with_restarts(attempt(LostPeerError("a"), LostPeerError("b")), 1)
    tries.clear()
    with pytest.raises(TrainingError, match="diverged"):
        with_restarts(attempt(TrainingError("diverged")), 5)
    assert len(tries) == 1
