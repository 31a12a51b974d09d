"""What a fetch tells while it runs."""

import logging
import time
from pathlib import Path

import pytest

from model.data.arrival import Arrival, arrival, place, told

WANTED = [digit * 32 for digit in "abc"]


def put(cache: Path, digest: str, content: str) -> None:
    file = cache / place(digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def test_files_of_the_version_alone_are_counted(tmp_path: Path) -> None:
    assert arrival(tmp_path, WANTED) == Arrival(0, 3, 0)
    put(tmp_path, "e" * 32, "of another version")
    put(tmp_path, WANTED[0], "content")
    assert arrival(tmp_path, WANTED) == Arrival(1, 3, 7)
    put(tmp_path, WANTED[1], "more")
    assert arrival(tmp_path, WANTED) == Arrival(2, 3, 11)


def test_lines_come_at_intervals_and_say_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("model.data.arrival.EVERY_S", 0.05)
    caplog.set_level(logging.INFO)

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 60
        while not any(text in message for message in caplog.messages):
            assert time.monotonic() < deadline, caplog.messages
            time.sleep(0.01)

    with told(tmp_path, WANTED):
        wait_for("fetched 0 of 3 files, 0.0 MB after 0 s")
        put(tmp_path, WANTED[0], "x" * 1_500_000)
        wait_for("fetched 1 of 3 files, 1.5 MB after")
        put(tmp_path, WANTED[1], "")
    assert "2 of 3 files" in caplog.messages[-1]
    lines = len(caplog.messages)
    time.sleep(0.2)
    assert len(caplog.messages) == lines


def test_a_short_fetch_that_fails_still_says_how_far_it_came(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    put(tmp_path, WANTED[0], "content")
    with pytest.raises(ValueError, match="broke"), told(tmp_path, WANTED):
        raise ValueError("broke")
    assert [message.split(" after")[0] for message in caplog.messages] == ["fetched 1 of 3 files, 0.0 MB"]
