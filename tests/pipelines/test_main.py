"""The program behind `rmtl pipeline`: its help and what it prints."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import local
from pipelines.__main__ import main

Printed = Callable[..., str]


@pytest.fixture
def printed(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Runs a command in the repository; returns its standard output."""
    monkeypatch.chdir(root)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["pipelines", *arguments])
        assert main() == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("command", ["compile", "run", "submit", "follow", "schedule", "schedules"])
def test_each_command_has_help_with_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipelines", command, "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert f"Example: rmtl pipeline {command}" in " ".join(capsys.readouterr().out.split())


def test_compiled_files_are_lines_or_one_list(printed: Printed, tmp_path: Path) -> None:
    lines = printed("compile", "--out", str(tmp_path)).splitlines()
    assert json.loads(printed("compile", "--out", str(tmp_path), "--json")) == lines
    assert sorted(map(Path, lines)) == sorted(tmp_path.glob("*.yaml"))


def test_a_run_is_its_result_or_an_object_with_its_folder(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the run, which takes minutes."""
    result = tmp_path / "run-1/evaluation.json"
    monkeypatch.setattr(local, "run_pipeline", lambda *_, **__: result)
    assert printed("run") == f"{result}\n"
    assert json.loads(printed("run", "--json")) == {"result": str(result), "run": str(result.parent)}


@pytest.mark.parametrize(
    ("arguments", "remote"),
    [([], "s3://bucket/face"), (["--remote", "s3://other/face"], "s3://other/face")],
)
def test_a_run_here_takes_the_data_from_where_they_are_pushed(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, arguments: list[str], remote: str
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setenv("RMTL_S3_REMOTE", "s3://bucket/face")
    monkeypatch.setattr(
        local, "run_pipeline", lambda _, given, **__: (asked.append(given), Path("run/evaluation.json"))[1]
    )
    printed("run", *arguments)
    assert [given["remote"] for given in asked] == [remote]
