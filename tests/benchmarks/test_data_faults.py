"""Planting faults in a small set, and the table of what was found."""

from pathlib import Path

import pytest

from benchmarks.data_faults.copies import Copy, copy_faces, record_ids, thinned
from benchmarks.data_faults.doubles import doubles
from benchmarks.data_faults.plant import double_results, row_results
from benchmarks.data_faults.results import Row, missed_goals, report_of, table
from benchmarks.data_faults.rows import row_faults
from benchmarks.data_faults.shifts import drift_rows
from benchmarks.data_faults.wholes import whole_faults
from model.config import IndexConfig
from tests.data.bench import CONFIG
from tests.data.layouts import make_class_folders, make_generic


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """178 faces: enough for one planting of each kind."""
    sources = (make_generic(tmp_path / "data", faces=50), make_class_folders(tmp_path / "data", faces=2))
    index = IndexConfig(sources=sources, holdout=0.0, exclude=())
    return copy_faces(CONFIG, index, data=tmp_path / "data", root=tmp_path / "copy", limit=0, seed=0)


def test_every_planted_fault_of_a_face_is_found_and_no_sound_face_is_moved(copy: Copy) -> None:
    """T01, T02, T03, T14."""
    rows = row_results(copy, {}, number=1, seed=0)
    assert [row.name for row in rows] == [fault.name for fault in row_faults()]
    assert {row.name for row in rows if (row.planted, row.found) != (1, 1)} == set()
    assert all(not row.false for row in rows)


def test_planted_copies_and_shared_persons_are_found_and_no_stranger_is_moved(copy: Copy) -> None:
    """T04, T05, T06."""
    rows = double_results(copy, {}, number=2, seed=0)
    assert {row.name for row in rows} == {kind.name for kind in doubles()} | {"the same person"}
    assert {row.name for row in rows if row.part == "duplicates" and (row.planted, row.found) != (2, 2)} == set()
    assert all(not row.false for row in rows)


def test_set_wide_faults_are_the_set_with_one_thing_changed(copy: Copy) -> None:
    faults = {fault.rule or fault.name: fault for fault in whole_faults(copy, copy.faces)}
    assert len(copy.faces) - len(faults["official_count"].faces) == 1
    assert {face["split"] for face in faults["splits_filled"].faces} == {"train", "test"}
    bad = [face for face in faults["budget"].faces if face not in copy.faces]
    assert len(bad) == int(CONFIG.budget * len(copy.faces)) + 1
    kept = {face["expression"] for face in faults["classes_present"].faces if face["split"] == "test"}
    assert len(kept - {None}) == 6


def test_ids_are_those_of_the_index(copy: Copy) -> None:
    faces = [*copy.faces[:3], copy.faces[0], {**copy.faces[4], "expression": 5}]
    assert record_ids(faces)[3:] == [f"copy/{copy.faces[0]['image']}#2", "copy/labels.jsonl#5"]
    verdict = copy.judge(faces, budget=1.0)
    assert set(verdict.flags) == {"copy/labels.jsonl#5"}
    assert "splits_filled" in verdict.stopped


def test_a_limit_draws_from_each_part() -> None:
    drawn = thinned(range(100), 5, 0, lambda item: item % 2)
    assert sum(item % 2 for item in drawn) == 5
    assert drawn == sorted(drawn)
    assert len(drawn) == 10


def test_a_shift_is_told_with_what_was_measured(copy: Copy) -> None:
    """T10."""
    rows = {row.name: row for row in drift_rows(copy, copy.faces, draws=2, seed=0)}
    dark = rows["brightness x 0.4"]
    assert (dark.planted, dark.found) == (1, 1)
    assert dark.measured["psi"] > CONFIG.drift.psi
    assert dark.measured["p"] < dark.measured["level"] < CONFIG.drift.alpha


def test_goals_and_table() -> None:
    rows = [
        Row("structure", "cut", "T01", 4, 3),
        Row("duplicates", "jpeg", "T04", 20, 20, {"near": 1}),
        Row("duplicates", "webp", "T04", 20, 19, {"near": 1}),
    ]
    report = report_of(rows, {"labelled": 3}, faces=9)
    assert report["parts"]["duplicates"] == {"recall": 0.975, "precision": 0.975}
    assert missed_goals(report) == ["structure: recall 0.75 is below 1.0"]
    assert "| jpeg | T04 | 20 | 20 | 1 |" in table(report).splitlines()
