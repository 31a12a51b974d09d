"""Official numbers: sums as they are published, parts as the readers name them."""

from pathlib import Path

import pytest

from model.config.data import Reader, Source, Splits
from model.data.manifest import part_of
from model.data.readers import aflw, read_source
from model.data.readers.official import official_numbers
from tests.data.layouts import (
    encoded,
    face_points,
    make_affectnet,
    make_affectnet2021,
    make_aflw,
    make_class_folders,
    make_rafdb,
    pts,
    texture,
    write,
)

W300 = Splits(
    train=("helen/trainset", "lfpw/trainset", "afw"),
    val=("300W/01_Indoor", "300W/02_Outdoor"),
    test=("helen/testset", "lfpw/testset", "ibug"),
)


def source(reader: Reader, splits: Splits, name: str = "faces") -> Source:
    return Source(name=name, reader=reader, path="faces", restricted=True, splits=splits)


@pytest.mark.parametrize(
    ("reader", "splits", "published"),
    [
        ("w300", Splits(train=W300.train), 3148),
        ("w300", Splits(test=W300.test), 689),
        ("w300", Splits(test=W300.val), 600),
        ("aflw", Splits(train=("train",)), 20000),
        ("aflw", Splits(test=("test",)), 4386),
        ("affectnet", Splits(train=("training.csv",)), 283901),
        ("affectnet", Splits(val=("validation.csv",)), 3500),
        ("affectnet2021", Splits(train=("train_set",)), 283901),
        ("affectnet2021", Splits(test=("val_set",)), 3500),
        ("rafdb", Splits(train=("train",), test=("test",)), 15339),
    ],
)
def test_parts_add_up_to_what_papers_state(reader: Reader, splits: Splits, published: int) -> None:
    """300-W and AFLW: Wang et al., arXiv:1908.07919; AffectNet and RAF-DB: the table of arXiv:2408.15777."""
    assert sum(number.faces for number in official_numbers([source(reader, splits)]).values()) == published


def test_only_folders_that_a_source_names_count() -> None:
    numbers = official_numbers([source("w300", Splits(test=("helen/testset", "elsewhere")))])
    assert {part: number.faces for part, number in numbers.items()} == {"faces/common": 330}
    both = official_numbers([source("w300", Splits(test=("helen/testset", "lfpw/testset")))])
    assert both["faces/common"].faces == 554


def test_class_folders_are_those_of_fer2013_by_the_name_of_the_source_alone() -> None:
    splits = Splits(train=("train",), test=("publictest", "privatetest"))
    numbers = official_numbers([source("class_folders", splits, name="fer2013")])
    assert [number.faces for number in numbers.values()] == [28709, 3589, 3589]
    assert official_numbers([source("class_folders", splits), source("generic", splits)]) == {}


def test_parts_are_named_as_the_readers_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aflw, "TRAINING_FACES", 3)
    for number, folder in enumerate([*W300.train, *W300.val, *W300.test]):
        write(tmp_path / "faces" / folder / f"{number}.png", encoded(texture(number), ".png"))
        write(tmp_path / "faces" / folder / f"{number}.pts", pts(face_points(number)))
    fer = make_class_folders(tmp_path).model_copy(update={"name": "fer2013"})
    sources = [make(tmp_path) for make in (make_aflw, make_affectnet, make_affectnet2021, make_rafdb)]
    sources += [source("w300", W300), fer]
    read = {part_of(record) for each in sources for record in read_source(each, tmp_path)}
    assert read == set(official_numbers(sources))
