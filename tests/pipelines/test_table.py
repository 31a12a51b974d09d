"""The tasks of a run as a table."""

import io

import pytest

from pipelines.progress import Task
from pipelines.table import table

pytestmark = pytest.mark.service


def test_a_terminal_gets_one_table_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with table(out) as (show, say):
        show([Task("fetch", "RUNNING", 3), Task("train")])
        say("asking again in 1 s: [bold]")
        show([Task("fetch", "SUCCEEDED", 5), Task("train", "RUNNING", 0)])
    text = out.getvalue()
    assert "\x1b[1A" in text
    assert "succeeded" in text.partition("[bold]")[2]
