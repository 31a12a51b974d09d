"""Both releases of AffectNet."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from model.data.readers import read_source
from model.data.readers.affectnet_labels import class_name
from model.errors import DataContractError
from model.schema import EXPRESSIONS, FaceRecord
from tests.data.layouts import affectnet_row, face_points, make_affectnet, make_affectnet2021, write


def _training(source_root: Path, *rows: str) -> list[FaceRecord]:
    source = make_affectnet(source_root)
    table = source_root / "affectnet/training.csv"
    table.write_text(table.read_text() + "\n".join(rows) + "\n")
    return [face for face in read_source(source, source_root) if face.split == "train"][11:]


def test_seven_classes_map_by_name_and_four_lie_outside(tmp_path: Path) -> None:
    """T03: contempt, none, uncertain and no face stay readable as facts."""
    faces = [face for face in read_source(make_affectnet(tmp_path), tmp_path) if face.split == "train"]
    assert [face.expression for face in faces] == [*EXPRESSIONS, None, None, None, None]
    labels = [json.loads(face.facts or "{}")["label"] for face in faces[7:]]
    assert labels == ["contempt", "none", "uncertain", "no face"]
    assert all(face.problem is None for face in faces)


def test_table_without_header_is_read_in_the_official_order(tmp_path: Path) -> None:
    faces = [face for face in read_source(make_affectnet(tmp_path), tmp_path) if face.split == "val"]
    assert [face.expression for face in faces] == list(EXPRESSIONS)
    assert json.loads(faces[0].facts or "{}") == {"arousal": -0.5, "valence": 0.25}


def test_automatic_landmarks_give_the_box_but_no_points(tmp_path: Path) -> None:
    face = next(read_source(make_affectnet(tmp_path), tmp_path))
    points = face_points(1)
    assert face.box == pytest.approx([*points.min(axis=0), *points.max(axis=0)])
    assert face.points is None


def test_malformed_row_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    broken, sound = _training(tmp_path, "1/a.jpg,3,4", affectnet_row("1/b.jpg", "1"))
    assert str(broken.problem).startswith("malformed_row: affectnet/training.csv, line 13")
    assert sound.expression == "happy"


def test_a_stray_quote_costs_its_row_alone(tmp_path: Path) -> None:
    """T03: however long the table goes on behind it."""
    sound = [affectnet_row(f"1/{number}.jpg", "1") for number in range(3)]
    faces = _training(tmp_path, '"1/a.jpg,3,4', *sound, "", f'"{"x" * 200_000}', sound[0])
    assert [face.problem is None for face in faces] == [False, True, True, True, False, True]
    assert str(faces[0].problem).startswith("malformed_row: affectnet/training.csv, line 13")
    assert str(faces[4].problem).startswith("malformed_row: affectnet/training.csv, line 18")


def test_a_table_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """The published one has 400,000 lines."""
    source = make_affectnet(tmp_path)
    table = tmp_path / "affectnet/training.csv"
    with table.open("a") as stream:
        stream.writelines(f"{affectnet_row(f'{row:01000}.jpg', '1', landmarks=False)}\n" for row in range(3000))
    tracemalloc.start()
    assert sum(face.split == "train" for face in read_source(source, tmp_path)) == 3011
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < table.stat().st_size / 4


def test_a_table_names_no_picture_outside_its_folder(tmp_path: Path) -> None:
    """T11: what it names would be read, and packed with the rest."""
    (outside,) = _training(tmp_path, affectnet_row("../../secret.jpg", "1"))
    assert str(outside.problem).startswith("bad_path: affectnet, image `Manually_Annotated_Images/../../secret.jpg`")


def test_without_landmarks_the_box_is_from_corner_to_corner_of_the_face_in_the_table(tmp_path: Path) -> None:
    (face,) = _training(tmp_path, affectnet_row("1/a.jpg", "1", landmarks=False))
    assert face.box == [12, 10, 12 + 40, 10 + 42]


@pytest.mark.parametrize("width", [float("nan"), float("inf")])
def test_a_side_that_is_not_finite_needs_landmarks(tmp_path: Path, width: float) -> None:
    saved, refused = _training(
        tmp_path,
        affectnet_row("1/a.jpg", "1", width=width),
        affectnet_row("1/b.jpg", "1", width=width, landmarks=False),
    )
    assert saved.problem is None
    assert str(refused.problem).startswith(f"bad_box: affectnet/training.csv, line 14, face of {width:g} x 42 pixels")


def test_negative_width_needs_landmarks(tmp_path: Path) -> None:
    saved, refused = _training(
        tmp_path,
        affectnet_row("1/a.jpg", "1", width=-40),
        affectnet_row("1/b.jpg", "1", width=-40, landmarks=False),
    )
    assert saved.problem is None
    assert str(refused.problem).startswith("bad_box: affectnet/training.csv, line 14")


@pytest.mark.parametrize("label", ["11", "-1", "", "happy", "nan", "2.5"])
def test_label_that_is_no_class_is_a_problem(tmp_path: Path, label: str) -> None:
    """T03."""
    (face,) = _training(tmp_path, affectnet_row("1/a.jpg", label))
    assert str(face.problem).startswith("unknown_expression: affectnet/training.csv, line 13")


def test_class_number_may_be_written_as_a_float() -> None:
    assert class_name("3.0") == "surprise"


def test_header_without_a_needed_column_stops(tmp_path: Path) -> None:
    source = make_affectnet(tmp_path)
    table = tmp_path / "affectnet/training.csv"
    table.write_text(table.read_text().replace("arousal", "excitement"))
    with pytest.raises(DataContractError, match="missing arousal"):
        list(read_source(source, tmp_path))


def test_release_of_2021_reads_string_scalars_and_integers(tmp_path: Path) -> None:
    faces = list(read_source(make_affectnet2021(tmp_path), tmp_path))
    assert [face.expression for face in faces] == [*EXPRESSIONS, *EXPRESSIONS]
    assert json.loads(faces[0].facts or "{}") == {"arousal": -0.25, "valence": 0.5}


def test_release_of_2021_takes_the_box_of_its_landmarks(tmp_path: Path) -> None:
    points = face_points(1)
    for face in read_source(make_affectnet2021(tmp_path), tmp_path):
        assert face.box == pytest.approx([*points.min(axis=0), *points.max(axis=0)])


def test_release_of_2021_tells_labels_whose_picture_is_missing(tmp_path: Path) -> None:
    """T03: those of hidden files are none."""
    source = make_affectnet2021(tmp_path)
    part = tmp_path / "affectnet2021/train_set"
    (part / "images/3.jpg").unlink()
    write(part / "annotations/._4_exp.npy", "")
    lost = [face for face in read_source(source, tmp_path) if face.problem]
    assert [(face.split, face.image) for face in lost] == [("train", "affectnet2021/train_set/annotations/3_exp.npy")]
    assert str(lost[0].problem).startswith("missing_picture: affectnet2021/train_set/annotations/3_exp.npy")


def test_release_of_2021_never_opens_a_pickle(tmp_path: Path) -> None:
    """T33: an object array is a problem, not code that runs."""
    source = make_affectnet2021(tmp_path)
    np.save(tmp_path / "affectnet2021/train_set/annotations/3_exp.npy", np.array({"a": 1}, dtype=object))
    (tmp_path / "affectnet2021/train_set/annotations/4_exp.npy").unlink()
    problems = [str(face.problem) for face in read_source(source, tmp_path) if face.problem]
    assert [text.split(":")[0] for text in problems] == ["bad_label", "missing_label"]
    assert "affectnet2021/train_set/annotations/3_exp.npy" in problems[0]


def test_release_of_2021_without_landmarks_has_no_box_of_its_own(tmp_path: Path) -> None:
    source = make_affectnet2021(tmp_path)
    (tmp_path / "affectnet2021/train_set/annotations/0_lnd.npy").unlink()
    assert next(read_source(source, tmp_path)).box is None
