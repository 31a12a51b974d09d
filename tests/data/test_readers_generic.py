"""Our own layout."""

import json
from dataclasses import replace
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


def test_all_that_other_layouts_know_can_be_told(tmp_path: Path) -> None:
    points19, mask, votes = face_points()[:19].tolist(), [True] * 18 + [False], list(range(10))
    line = label_line("0.tar!1.webp", "train", points19=points19, points19_mask=mask, votes=votes, id="a/1.webp#3")
    (face,) = _read(tmp_path, line)
    assert (face.record_id, face.points, face.points19_mask, face.votes) == ("made/a/1.webp#3", None, mask, votes)
    assert face.points19 == [value for pair in points19 for value in pair]


def test_a_row_that_cannot_be_used_says_so_itself(tmp_path: Path) -> None:
    (face,) = _read(tmp_path, label_line("1.webp", "train", subset="", problem="missing_points: 1.pts"))
    assert (face.problem, face.subset) == ("missing_points: 1.pts", "")


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
        (
            label_line("1.webp", "train", points19=[[1, 2]] * 19),
            "bad_label: made/labels.jsonl, line 1, points19 are not",
        ),
        (label_line("1.webp", "train", votes=[1, 2]), "bad_label: made/labels.jsonl, line 1, votes are not 10 counts"),
        (label_line("1.webp", "train", votes=[-1] * 10), "bad_label: made/labels.jsonl, line 1, votes are not"),
        (
            label_line("1.webp", "train", facts={"yaw": float("nan")}),
            "bad_label: made/labels.jsonl, line 1, facts hold",
        ),
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


def _correct(data: Path, *lines: str) -> None:
    (data / "made").mkdir(exist_ok=True)
    (data / "made/corrections.jsonl").write_text("\n".join(lines))


def _correction(image: str, was: str | None, expression: str, **face: str) -> str:
    return json.dumps({"image": image, "was": was, "expression": expression, **face})


def test_a_corrected_expression_counts_and_all_else_stays(tmp_path: Path) -> None:
    points = face_points().tolist()
    lines = [
        label_line(f"{number}.webp", "train", points=points, expression="sad", subject=number) for number in (1, 2)
    ]
    before = _read(tmp_path, *lines)
    _correct(tmp_path, _correction("2.webp", "sad", "fear"))
    after = _read(tmp_path, *lines)
    assert after == [before[0], replace(before[1], expression="fear")]


@pytest.mark.parametrize(
    ("lines", "corrected"),
    [
        ([_correction("1.webp", "sad", "fear")], ["fear", "fear", "fear"]),
        ([_correction("1.webp", "sad", "fear", id="1.webp#2")], ["sad", "fear", "sad"]),
        ([_correction("1.webp", "sad", "fear", id="1.webp")], ["fear", "sad", "sad"]),
        ([_correction("1.webp", "sad", "fear", id="third")], ["sad", "sad", "fear"]),
        (
            [_correction("1.webp", "sad", "fear", id="third"), _correction("1.webp", "sad", "anger")],
            ["anger", "anger", "fear"],
        ),
    ],
)
def test_a_correction_may_name_one_face_of_a_picture(tmp_path: Path, lines: list[str], corrected: list[str]) -> None:
    face = label_line("1.webp", "train", expression="sad")
    _correct(tmp_path, *lines)
    faces = _read(tmp_path, face, face, label_line("1.webp", "train", expression="sad", id="third"))
    assert [face.expression for face in faces] == corrected


def test_a_correction_of_a_face_of_another_split_is_met(tmp_path: Path) -> None:
    _correct(tmp_path, _correction("1.webp", "sad", "fear", id="1.webp#2"))
    ours, other = (label_line("1.webp", split, expression="sad") for split in ("train", "spare"))
    assert [face.expression for face in _read(tmp_path, ours, other)] == ["sad"]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([_correction("1.webp", "happy", "fear")], r"line 1: picture 1\.webp was happy, the labels say sad"),
        ([_correction("9.webp", "sad", "fear")], r"line 1: no picture 9\.webp"),
        ([_correction("1.webp", "sad", "fear", id="1.webp#2")], r"line 1: no face 1\.webp#2 of picture 1\.webp"),
        ([_correction("1.webp", "sad", "fear")] * 2, r"line 2: picture 1\.webp is corrected twice"),
        (["{"], r"line 1: Invalid JSON"),
    ],
)
def test_a_correction_that_does_not_fit_the_labels_stops(tmp_path: Path, lines: list[str], what: str) -> None:
    """T03: a correction made for other labels would spoil a right one."""
    _correct(tmp_path, *lines)
    with pytest.raises(DataContractError, match=rf"corrections\.jsonl, {what}"):
        _read(tmp_path, label_line("1.webp", "train", expression="sad"))


def test_an_unknown_corrected_expression_is_named(tmp_path: Path) -> None:
    """T03."""
    _correct(tmp_path, _correction("1.webp", "sad", "bored"))
    (face,) = _read(tmp_path, label_line("1.webp", "train", expression="sad"))
    assert str(face.problem).startswith("unknown_expression")
