"""Class folders and the FER+ votes."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from model.config.data import Source, Splits
from model.data.readers import read_source
from model.data.readers.votes import majority, read_votes
from model.errors import DataContractError
from model.schema import EXPRESSIONS, VOTES
from tests.data.layouts import VOTE_COLUMNS, encoded, make_class_folders, texture, write


def votes(**counts: int) -> list[int]:
    """Counts in the order of the schema; `no_face` stands for `no face`."""
    return [counts.get(name.replace(" ", "_"), 0) for name in VOTES]


def test_folder_names_map_by_alias_and_suffixes_in_any_case(tmp_path: Path) -> None:
    faces = list(read_source(make_class_folders(tmp_path), tmp_path))
    assert Counter(face.expression for face in faces) == dict.fromkeys(EXPRESSIONS, 4)
    assert {face.subset for face in faces} == {"train", "publictest"}
    assert any(face.image.endswith(".PNG") for face in faces)


def test_unknown_folder_lists_what_is_known(tmp_path: Path) -> None:
    source = make_class_folders(tmp_path)
    write(tmp_path / "fer/train/bored/1.png", encoded(texture(1), ".png"))
    with pytest.raises(DataContractError, match=r"unknown class folder bored.*known are .*anger.*sad"):
        list(read_source(source, tmp_path))


def test_contempt_is_known_but_has_no_expression(tmp_path: Path) -> None:
    """T03."""
    source = make_class_folders(tmp_path)
    write(tmp_path / "fer/train/Contempt/1.png", encoded(texture(1), ".png"))
    (face,) = [face for face in read_source(source, tmp_path) if "Contempt" in face.image]
    assert (face.expression, face.problem) == (None, None)
    assert json.loads(face.facts or "{}")["label"] == "contempt"


def test_file_that_is_no_picture_is_a_problem_and_hidden_files_are_none(tmp_path: Path) -> None:
    source = make_class_folders(tmp_path)
    write(tmp_path / "fer/train/happy/notes.txt", "hello")
    write(tmp_path / "fer/train/happy/.DS_Store", "")
    (bad,) = [face for face in read_source(source, tmp_path) if face.problem]
    assert str(bad.problem).startswith("not_a_picture: fer/train/happy/notes.txt")


def test_vote_columns_map_by_name(tmp_path: Path) -> None:
    face = next(read_source(make_class_folders(tmp_path), tmp_path))
    assert face.votes == votes(happy=8, sad=1, unknown=1)
    assert json.loads(face.facts or "{}")["ferplus"] == "happy"


@pytest.mark.parametrize(
    ("counts", "label"),
    [
        (votes(happy=6, sad=4), "happy"),
        (votes(happy=5, sad=5), None),
        (votes(happy=5, sad=1, fear=1, anger=1, surprise=1, disgust=1), "happy"),
        (votes(happy=4, sad=3, fear=3), None),
        (votes(contempt=9, sad=1), None),
        (votes(no_face=10), None),
        (votes(**dict.fromkeys(EXPRESSIONS, 1)), None),
    ],
)
def test_majority_drops_single_votes_and_needs_more_than_half(counts: list[int], label: str | None) -> None:
    assert majority(counts) == label


def test_vote_table_without_a_column_stops(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="need `image` and a count for each of neutral"):
        read_votes(write(tmp_path / "votes.csv", "image,happy,sad\na.png,1,2\n"), "votes.csv")


@pytest.mark.parametrize("votes", ["1,2", "x,0,0,0,0,0,0,0,0,0", "-1,0,0,0,0,0,0,0,0,0", '"9,0,0,0,0,0,0,0,0,0'])
def test_malformed_votes_are_a_problem_of_their_picture_alone(tmp_path: Path, votes: str) -> None:
    source = make_class_folders(tmp_path)
    lines = (tmp_path / "fer/votes.csv").read_text().splitlines()
    picture = lines[2].split(",")[0]
    write(tmp_path / "fer/votes.csv", "\n".join([*lines[:2], "", f"{picture},{votes}", *lines[3:]]))
    faces = list(read_source(source, tmp_path))
    (bad,) = [face for face in faces if face.problem]
    assert bad.image == f"fer/{picture}"
    assert str(bad.problem).startswith(f"malformed_row: fer/votes.csv, line 4, not ten counts: {picture}")
    assert all(face.votes for face in faces if face is not bad)


def _vote_lines(data: Path, *lines: str, header: str = f"image,{VOTE_COLUMNS}") -> Source:
    """Two pictures of one name and one of its own, and a table of votes."""
    for name in ("train/angry/1.png", "train/sad/1.png", "publictest/happy/2.png"):
        write(data / "fer" / name, encoded(texture(len(name), 48), ".png"))
    write(data / "fer/votes.csv", "\n".join([header, *lines]))
    splits = Splits(train=("train",), test=("publictest",))
    return Source(name="fer", reader="class_folders", path="fer", restricted=True, splits=splits, votes="votes.csv")


@pytest.mark.parametrize("names", [["publictest/happy/2.png"] * 2, ["publictest/happy/2.png", "2.png"]])
def test_two_lines_for_a_picture_are_its_problem(tmp_path: Path, names: list[str]) -> None:
    lines = [f"{name},0,8,0,1,0,0,0,0,1,0" for name in names]
    *others, face = read_source(_vote_lines(tmp_path, *lines), tmp_path)
    assert [other.problem for other in others] == [None, None]
    assert str(face.problem).startswith(
        "repeated_votes: fer/votes.csv, line 3, publictest/happy/2.png has votes in line 2"
    )
    assert face.votes is None


def test_a_file_name_that_several_pictures_have_gives_votes_to_none(tmp_path: Path) -> None:
    """But to the one that a line names by its path."""
    sad, other = "train/sad/1.png,0,1,0,9,0,0,0,0,0,0", "1.png,0,8,0,1,0,0,0,0,1,0"
    angry, known, alone = read_source(_vote_lines(tmp_path, sad, other), tmp_path)
    assert str(angry.problem).startswith("ambiguous_votes: fer/votes.csv, line 3, `1.png` may be any of 2 pictures")
    assert (angry.votes, known.votes, alone.votes) == (None, votes(happy=1, sad=9), None)
    assert known.problem is alone.problem is None


def test_the_table_of_ferplus_is_read_as_it_is_published(tmp_path: Path) -> None:
    """Bare file names below its own header; lines of what is no face have counts and no name.

    https://github.com/microsoft/FERPlus/blob/master/fer2013new.csv
    """
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    nobody = "PublicTest,,0,0,0,0,0,0,0,0,0,10"
    source = _vote_lines(tmp_path, nobody, "PublicTest,2.png,1,2,3,4,5,6,7,8,9,10", nobody, header=header)
    *_, face = read_source(source, tmp_path)
    assert face.problem is None
    assert dict(zip(VOTES, face.votes or [], strict=True)) == {
        **{"neutral": 1, "happy": 2, "surprise": 3, "sad": 4, "anger": 5, "disgust": 6, "fear": 7},
        **{"contempt": 8, "unknown": 9, "no face": 10},
    }


def test_malformed_votes_of_nobody_are_a_row_of_their_own(tmp_path: Path) -> None:
    source = make_class_folders(tmp_path)
    sound = list(read_source(source, tmp_path))
    with (tmp_path / "fer/votes.csv").open("a") as stream:
        stream.write(" ,1,2\n")
    *faces, bad = read_source(source, tmp_path)
    assert faces == sound
    assert (bad.record_id, bad.image) == ("fer/votes.csv#30", "fer/votes.csv")
    assert str(bad.problem).startswith("malformed_row: fer/votes.csv, line 30, not ten counts")


@pytest.mark.data
@pytest.mark.skipif("RMTL_BENCHMARKS" not in os.environ, reason="RMTL_BENCHMARKS names no folder of benchmarks")
def test_fer2013_public_test_has_its_known_number_of_majorities() -> None:
    """Oracle: 3,130 of the 3,517 pictures have a FER+ label, as counted by the makers of the set's copy."""
    splits = Splits(test=("publictest",))
    source = Source(
        name="fer", reader="class_folders", path="fer2013", restricted=True, splits=splits, votes="ferplus_votes.csv"
    )
    faces = list(read_source(source, Path(os.environ["RMTL_BENCHMARKS"])))
    assert sum(json.loads(face.facts or "{}")["ferplus"] is not None for face in faces) == 3130
