"""Our own layout."""

import json
from pathlib import Path

import pytest

from model.config.data import Source
from model.data.readers import read_source
from model.errors import DataContractError
from model.schema import FaceRecord
from tests.data.layouts import face_points, label_line, make_generic


def _read(data: Path, *lines: str) -> list[FaceRecord]:
    source = make_generic(data, faces=0)
    (data / "made" / "labels.jsonl").parent.mkdir(exist_ok=True)
    (data / "made" / "labels.jsonl").write_text("\n".join(lines))
    return list(read_source(source, data))


def test_line_becomes_a_row(tmp_path: Path) -> None:
    points = face_points().tolist()
    line = label_line("train.tar!1.webp", "train", points=points, expression="Happiness", subject=7, facts={"yaw": 3})
    (face,) = _read(tmp_path, line)
    assert (face.image, face.record_id) == ("made/train.tar!1.webp", "made/train.tar!1.webp")
    assert (face.expression, face.group, face.subset) == ("happy", "made/7", "train")
    assert face.points == pytest.approx(face_points().ravel().tolist())
    assert json.loads(face.facts or "{}") == {"yaw": 3}


def test_address_in_a_bucket_stays_as_it_is(tmp_path: Path) -> None:
    (face,) = _read(tmp_path, label_line("s3://bucket/1.webp", "val", expression="sad"))
    assert face.image == "s3://bucket/1.webp"


def test_two_faces_of_one_picture_have_two_ids(tmp_path: Path) -> None:
    line = label_line("1.webp", "train", expression="sad", box=[1, 2, 30, 40])
    assert [face.record_id for face in _read(tmp_path, line, line)] == ["made/1.webp", "made/1.webp#2"]


def test_rows_of_other_splits_are_not_part_of_the_source(tmp_path: Path) -> None:
    assert _read(tmp_path, label_line("1.webp", "spare", expression="sad")) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "bad_label: made/labels.jsonl, line 1, line: Invalid JSON"),
        ('{"split": "train"}', "bad_label: made/labels.jsonl, line 1, image: Field required"),
        (label_line("1.webp", "train", expresion="sad"), "bad_label: made/labels.jsonl, line 1, expresion: Extra"),
        (label_line("../1.webp", "train"), "bad_label: made/labels.jsonl, line 1, image `../1.webp` leaves"),
        (label_line("/1.webp", "train"), "bad_label: made/labels.jsonl, line 1, image `/1.webp` leaves"),
        (label_line("1.webp", "train", points=[[1, 2, 3]]), "bad_label: made/labels.jsonl, line 1, points are not"),
        (label_line("1.webp", "train", box=[1, 2, 3]), "bad_label: made/labels.jsonl, line 1, box is not"),
        (label_line("1.webp", "train", expression="bored"), "unknown_expression: made/labels.jsonl, line 1, "),
        (label_line("1.webp", "train", expression=""), "unknown_expression: made/labels.jsonl, line 1, "),
        ('{"image":' * 9999, "bad_label: made/labels.jsonl, line 1, line: Invalid JSON"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    """T03: an unknown and an empty label among them."""
    (face,) = _read(tmp_path, line)
    assert str(face.problem).startswith(what)


def test_contempt_is_set_aside_as_a_fact(tmp_path: Path) -> None:
    """T03."""
    (face,) = _read(tmp_path, label_line("1.webp", "train", expression="contempt"))
    assert (face.expression, face.problem, json.loads(face.facts or "{}")) == (None, None, {"label": "contempt"})


def test_missing_table_stops(tmp_path: Path) -> None:
    source: Source = make_generic(tmp_path, faces=2)
    (tmp_path / "made/labels.jsonl").unlink()
    with pytest.raises(DataContractError, match=r"labels\.jsonl: no such file"):
        list(read_source(source, tmp_path))
