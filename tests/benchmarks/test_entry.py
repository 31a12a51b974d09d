"""How a measuring script ends, and what it keeps and shows."""

import argparse
import importlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.entry import Report, measure_or_show
from model.errors import ConfigError, StorageError
from model.storage import read_json

SCRIPT = """
import sys, time
from benchmarks.entry import run, say

def main():
    try:
        say("begun")
        sys.stdout.flush()
        time.sleep(60)
    finally:
        say("cleared up")

run(main)
"""

SCRIPTS = {
    "canary_bounds": "canary-bounds",
    "data_faults.__main__": "data-faults-full",
    "detection": "detection",
    "label_noise": "label-noise",
    "load.__main__": "load",
    "loader.__main__": "loader",
    "robustness": "robustness",
    "rollouts": "rollouts",
    "scale": "scale",
    "soak": "soak",
    "speed": "speed",
}
"""Each with a report that it wrote."""


def faces(options: argparse.Namespace) -> Report:
    return {"faces": options.faces}


def never(_: argparse.Namespace) -> Report:
    pytest.fail("something was measured")


def table(report: Report) -> str:
    return f"{report['faces']} faces"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--faces", type=int, default=3)
    return made


def test_a_script_that_is_asked_to_end_clears_up(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "cleared up\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_a_kept_report_is_shown_as_when_it_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "report.json"
    measured = measure_or_show(parser(), faces, table, ["--faces", "7", "--out", str(out)])
    printed = capsys.readouterr().out
    assert measured == read_json(out) == measure_or_show(parser(), never, table, ["--table", str(out)])
    assert capsys.readouterr().out == printed == "7 faces\n"
    assert [file.name for file in out.parent.iterdir()] == ["report.json"]


def test_without_a_place_the_table_is_only_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert measure_or_show(parser(), faces, table, []) == {"faces": 3}
    assert capsys.readouterr().out == "3 faces\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file/report.json", "file/below/report.json", "folder"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=f"--out .*{place}: .*name "):
        measure_or_show(parser(), never, table, ["--out", str(tmp_path / place)])


def test_a_report_that_is_missing_is_not_measured_instead(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.json"):
        measure_or_show(parser(), never, table, ["--table", str(tmp_path / "none.json")])


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_shows_what_it_once_measured(
    script: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"benchmarks.{script}")
    monkeypatch.setattr(module, "_measure", never)
    monkeypatch.setattr(sys, "argv", [script, "--table", str(root / f"docs/results/{SCRIPTS[script]}.json")])
    module.main()
    assert capsys.readouterr().out.count("\n| ") > 1
