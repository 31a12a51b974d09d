"""RAF-DB: its own class numbers, both spellings, both picture folders."""

import json
from pathlib import Path

import pytest

from model.data.readers import read_source
from model.errors import DataContractError
from tests.data.layouts import face_points, make_rafdb

ORDER = ["surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"]


@pytest.mark.parametrize("spelling", ["patition", "partition"])
def test_classes_are_rafs_own_numbers(tmp_path: Path, spelling: str) -> None:
    faces = list(read_source(make_rafdb(tmp_path, spelling=spelling), tmp_path))
    assert [face.expression for face in faces] == ORDER * 2
    assert [face.split for face in faces] == ["train"] * 7 + ["test"] * 7
    assert faces[0].image == "rafdb/Image/aligned/train_00001_aligned.jpg"


def test_attributes_are_facts_for_slices(tmp_path: Path) -> None:
    face = next(read_source(make_rafdb(tmp_path), tmp_path))
    assert json.loads(face.facts or "{}") == {"age": "40-69", "gender": "female", "race": "asian"}
    assert face.points is None


def test_original_picture_takes_its_box_from_five_points(tmp_path: Path) -> None:
    face = next(read_source(make_rafdb(tmp_path, aligned=False), tmp_path))
    points = face_points(1)
    assert face.image == "rafdb/Image/original/train_00001.jpg"
    assert face.box == pytest.approx([*points.min(axis=0), *points.max(axis=0)], abs=5)


def test_original_picture_without_points_is_a_problem(tmp_path: Path) -> None:
    source = make_rafdb(tmp_path, aligned=False)
    (tmp_path / "rafdb/Annotation/manual/train_00001_manu_attri.txt").unlink()
    problem = str(next(read_source(source, tmp_path)).problem)
    assert problem.startswith("missing_points: rafdb/Annotation/manual/train_00001_manu_attri.txt, no five points")


@pytest.mark.parametrize("line", ["train_00001.jpg 8", "train_00001.jpg", "trainee_1.jpg 3", "train_00001.jpg five"])
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    """T03."""
    source = make_rafdb(tmp_path)
    path = tmp_path / "rafdb/EmoLabel/list_patition_label.txt"
    path.write_text(path.read_text() + line + "\n")
    (bad,) = [face for face in read_source(source, tmp_path) if face.problem]
    assert str(bad.problem).startswith("bad_label: rafdb/EmoLabel/list_patition_label.txt, line 15")


def test_missing_list_stops(tmp_path: Path) -> None:
    source = make_rafdb(tmp_path)
    (tmp_path / "rafdb/EmoLabel/list_patition_label.txt").unlink()
    with pytest.raises(DataContractError, match=r"list_partition_label\.txt: no such file"):
        list(read_source(source, tmp_path))
