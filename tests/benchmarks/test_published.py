"""The published numbers, measured again: equal on the same data, told where they are not; the data stay as they are."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import published
from model.errors import CheckpointError, StorageError
from model.evaluation.markdown import rounding
from model.schema import Measure, to_json
from tests.benchmarks.conftest import RECIPE, Project
from tests.command import contents

Run = Callable[..., int]
MEASURED = {
    "weights_digest": "a",
    "data_digest": "b",
    "summary": {"test/nme_interocular": 4.0},
    "measures": [to_json(Measure("test", "landmarks", "nme", "all", 4.0, 3.8, 4.2, 337, normaliser="inter_ocular"))],
}


@pytest.fixture
def again(project: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*options: str) -> int:
        monkeypatch.chdir(project.root)
        monkeypatch.setattr(sys, "argv", ["published", "--data", str(project.data), "--recipe", RECIPE, *options])
        return published.main()

    return run


def test_measuring_writes_a_report_and_nothing_beside_it(again: Run, project: Project, tmp_path: Path) -> None:
    before = contents(project.data)
    assert again("--out", str(tmp_path / "published.json")) == 0
    report = json.loads((tmp_path / "published.json").read_text())
    assert report["recipe"] == RECIPE
    assert {"test/nme_interocular", "test/accuracy", "test/macro_f1_votes"} <= set(report["summary"])
    assert contents(project.data) == before
    assert not {"artifacts", "reports"} & {path.name for path in project.root.iterdir()}


def test_the_exit_code_tells_whether_the_numbers_were_met(
    again: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(published, "measure", lambda *_, **__: MEASURED)
    path = tmp_path / "published.json"
    path.write_text(json.dumps(MEASURED))
    assert again("--expected", str(path)) == 0
    assert "| 68 points: NME %, inter-ocular | 4.00 (3.80-4.20) | 4.00 | 337 |" in capsys.readouterr().out
    path.write_text(json.dumps(MEASURED | {"summary": {"test/nme_interocular": 3.5}}))
    assert again("--expected", str(path), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["differences"] == ["test/nme_interocular: 4.0, published 3.5"]


def test_values_differ_where_their_print_would() -> None:
    report = {
        "weights_digest": "a",
        "data_digest": "b",
        "summary": {"test/nme_interocular": 4.0, "test/accuracy": 70.0},
    }
    near = {"test/nme_interocular": 4.004, "test/accuracy": 70.04}
    far = {"test/nme_interocular": 4.006, "test/accuracy": 70.06}
    assert published.differences(report | {"summary": near}, report) == []
    assert len(published.differences(report | {"summary": far}, report)) == 2
    assert published.differences(report | {"summary": {}}, report)[0] == "test/nme_interocular: None, published 4.0"
    assert published.differences(report | {"weights_digest": "c"}, report) == [
        "weights_digest c is not the published a"
    ]
    assert rounding("test/nll") == rounding("test/nme_diagonal_base") == 0.005


def test_what_is_missing_is_told_before_anything_is_measured(again: Run, project: Project) -> None:
    with pytest.raises(StorageError, match="published"):
        again()
    with pytest.raises(CheckpointError, match="nowhere"):
        again("--weights", "nowhere")
