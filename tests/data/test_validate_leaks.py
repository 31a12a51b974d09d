"""Pictures, persons and photos in two splits, planted and found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from model.config.data import LeakageConfig, Source
from model.data.manifest import write_manifest
from model.errors import DataContractError, UnsoundSetError
from tests.data.bench import Bench
from tests.data.layouts import encoded, label_line, make_class_folders, make_generic, texture, write


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _plant(bench: Bench, change: Callable[[int], bytes]) -> None:
    """20 changed copies of test pictures among 84 training pictures of their own."""
    source = make_class_folders(bench.root, faces=12)
    for number in range(20):
        write(bench.root / f"fer/train/happy/copy{number}.webp", change(700 + number))
    records = bench.index(source)
    val = [record for record in records if record.split == "train" and "copy" not in record.image][::7]
    held = [replace(record, split="val") if record in val else record for record in records]
    write_manifest(bench.root / "artifacts/manifest.parquet", held)


def _suspects(bench: Bench, rule: str) -> list[str]:
    return sorted(name for name, (found, _) in bench.quarantine().items() if found == rule)


COPIES = sorted(f"fer/train/happy/copy{number}.webp" for number in range(20))


def test_planted_exact_duplicates_stop_and_are_listed(bench: Bench) -> None:
    """T04."""
    _plant(bench, lambda seed: (bench.root / _test_picture(bench, seed)).read_bytes())
    with pytest.raises(DataContractError, match=r"exact_duplicates: 20 rows: .*the same bytes as fer/publictest"):
        bench.validate()
    assert _suspects(bench, "exact_duplicates") == COPIES
    assert len(bench.quarantine()) == 20


def _test_picture(bench: Bench, seed: int) -> Path:
    return next((bench.root / "fer/publictest").glob(f"*/{seed - 700}.*"))


def test_planted_mirrored_and_recompressed_copies_are_set_aside(bench: Bench) -> None:
    """T04, T06: recall and precision 1 on 20 planted copies; outside the budget by default, a stop if asked."""
    _plant(bench, lambda seed: encoded(texture(seed, 48)[:, :: -1 if seed % 2 else 1].copy(), ".webp", 60))
    report = bench.validate()
    assert _suspects(bench, "near_duplicates") == COPIES
    assert report.quarantined == 20
    assert "mirrored fer/publictest" in bench.quarantine()[COPIES[1]][1]
    with pytest.raises(DataContractError, match="near_duplicates: 20 rows"):
        bench.validate(leakage=LeakageConfig(exact="stop", near="stop", group="stop"))


def test_duplicates_are_found_across_data_sets(bench: Bench) -> None:
    """T04."""
    fer, made = make_class_folders(bench.root), make_generic(bench.root)
    write(bench.root / "fer/train/happy/again.webp", (bench.root / "made/test/003.webp").read_bytes())
    bench.index(fer, made)
    with pytest.raises(DataContractError, match=r"fer/train/happy/again\.webp.*the same bytes as made/test/003\.webp"):
        bench.validate()


def test_near_and_mirrored_duplicates_are_found_across_data_sets(bench: Bench) -> None:
    """T04: copies that another source made of its own, smaller and compressed; those within a split stay."""
    fer, made = make_class_folders(bench.root), make_generic(bench.root)
    for number in range(10):
        turned = texture(900 + number)[:, :: -1 if number % 2 else 1].copy()
        write(bench.root / f"fer/train/happy/copy{number}.webp", encoded(cv2.resize(turned, (48, 48)), ".webp", 60))
    write(bench.root / "fer/train/happy/same_split.webp", encoded(texture(800), ".webp", 60))
    bench.index(fer, made)
    report = bench.validate()
    found = bench.quarantine()
    assert sorted(found) == [f"fer/train/happy/copy{number}.webp" for number in range(10)]
    assert report.quarantined == 10
    for number in range(10):
        rule, reason = found[f"fer/train/happy/copy{number}.webp"]
        how = "mirrored " if number % 2 else ""
        assert rule == "near_duplicates"
        assert reason.startswith(f"near duplicate of the {how}made/test/{number:03}.webp in test")


def test_face_listed_in_two_splits_stops_but_another_face_of_its_picture_does_not(bench: Bench) -> None:
    """T04."""
    source = make_generic(bench.root)
    write(bench.root / "made/two.webp", encoded(texture(999), ".webp"))
    path = bench.root / "made/labels.jsonl"
    faces = [("test", [2, 10, 30, 40]), ("train", [2, 11, 31, 40]), ("train", [34, 10, 60, 40])]
    lines = [label_line("two.webp", split, expression="sad", box=box) for split, box in faces]
    path.write_text("\n".join([path.read_text().strip(), *lines]))
    bench.index(source)
    with pytest.raises(
        DataContractError, match=r"exact_duplicates: 1 rows: .*the same bytes as made/two\.webp in test"
    ):
        bench.validate()
    assert list(bench.quarantine()) == ["made/two.webp#2"]


def test_person_in_two_splits_stops_or_is_set_aside(bench: Bench) -> None:
    """T05."""
    source = make_generic(bench.root)
    path = bench.root / "made/labels.jsonl"
    path.write_text(path.read_text().replace('"train3"', '"test2"'))
    bench.index(source)
    with pytest.raises(DataContractError, match=r"groups_apart: 2 rows: .*group made/test2 is in test too"):
        bench.validate()
    report = bench.validate(leakage=LeakageConfig(exact="stop", near="aside", group="aside"))
    assert sorted(bench.quarantine()) == ["made/train/006.webp", "made/train/007.webp"]
    assert report.valid == 40


def test_a_rule_whose_rows_another_one_moved_says_why_it_failed(bench: Bench) -> None:
    """T04, T05: the same bytes, of the same person."""
    source = make_generic(bench.root)
    path = bench.root / "made/labels.jsonl"
    write(bench.root / "made/again.webp", (bench.root / "made/test/003.webp").read_bytes())
    path.write_text(path.read_text() + label_line("again.webp", "train", expression="sad", subject="test1"))
    bench.index(source)
    with pytest.raises(
        UnsoundSetError, match=r"(?s)exact_duplicates: 1 rows.*groups_apart: group made/test1 is in"
    ) as end:
        bench.validate()
    told = {rule["rule"]: rule for rule in end.value.report.rules}["groups_apart"]
    assert (told["failed"], told["quarantined"], told["first"][0]["image"]) == (1, 0, "made/again.webp")


def test_person_named_by_the_pictures_is_found_in_two_splits(bench: Bench) -> None:
    """T05: a layout without persons; each leaking face is told, strangers and unknown persons stay."""
    source = make_class_folders(bench.root)
    for number, name in enumerate(("train/happy/p7_1", "train/sad/p8_1", "publictest/happy/p7_2", "train/fear/odd")):
        write(bench.root / f"fer/{name}.webp", encoded(texture(990 + number), ".webp"))
    named = source.model_copy(update={"persons": r"/(?:(p[0-9]+)_[0-9]+|[0-9]+)\.[a-zA-Z]+$"})
    records = bench.index(named, holdout=0.5)
    assert {record.group for record in records} == {None, "fer/p7", "fer/p8"}
    with pytest.raises(DataContractError, match=r"groups_apart: 1 rows: .*group fer/p7 is in test too"):
        bench.validate(budget=0.5)
    found = bench.quarantine()
    assert found["fer/train/happy/p7_1.webp"][0] == "groups_apart"
    assert found["fer/train/fear/odd.webp"][1].startswith("no_person: fer/train/fear/odd.webp, `train/fear/odd.webp`")
    assert len(found) == 2


def _second_extract(bench: Bench, made: Source, split: str) -> Source:
    """Other pictures of the persons that `made` has in training and in test, all in one part."""
    subjects = [f"{part}{number}" for part in ("train", "test") for number in range(7)]
    lines = []
    for number, subject in enumerate(subjects):
        write(bench.root / f"more/{number}.webp", encoded(texture(1200 + number), ".webp"))
        lines.append(label_line(f"{number}.webp", split, expression="happy", subject=subject))
    write(bench.root / "more/labels.jsonl", "\n".join(lines))
    values = {"name": "more", "path": "more", "splits": {"train": ["train"], "test": ["test"]}}
    return Source.model_validate(made.model_dump() | values)


def test_official_splits_of_two_sources_that_share_their_people_are_compared(bench: Bench) -> None:
    """T05: persons whom the sources place differently are found; without `people` the ids mean nothing."""
    made = make_generic(bench.root)
    more = _second_extract(bench, made, "test")
    bench.index(made, more)
    assert bench.validate().quarantined == 0
    together = [source.model_copy(update={"people": "town"}) for source in (made, more)]
    assert {str(record.group).split("/")[0] for record in bench.index(*together)} == {"town"}
    with pytest.raises(DataContractError, match=r"groups_apart: 14 rows: .*group town/train0 is in test too: more/0"):
        bench.validate()
    assert sorted(bench.quarantine()) == [f"made/train/{number:03}.webp" for number in range(14)]


def test_source_may_join_the_people_of_another_by_its_name(bench: Bench) -> None:
    """T05: the held-out part follows the validation part of the other source."""
    made = make_generic(bench.root)
    more = _second_extract(bench, made, "train").model_copy(update={"people": "made"})
    records = bench.index(made, more, holdout=1.0)
    assert {record.split for record in records if record.source == "more"} == {"train", "val"}
    assert all(record.split == "train" for record in records if record.group == "made/train0")
    with pytest.raises(DataContractError, match=r"groups_apart: 7 rows: .*group made/test0 is in test too"):
        bench.validate()
    assert {rule for rule, _ in bench.quarantine().values()} == {"groups_apart"}


def test_people_need_ids_of_persons(bench: Bench) -> None:
    values = make_class_folders(bench.root).model_dump() | {"people": "town"}
    with pytest.raises(ValueError, match="the reader class_folders does not give; name them by `persons`"):
        Source.model_validate(values)
    assert Source.model_validate(values | {"persons": "(p[0-9]+)_"}).namespace == "town"
    assert Source.model_validate(values | {"people": None}).namespace == "fer"


@pytest.mark.parametrize(
    ("pattern", "told"), [("p[0-9]+_", "has 0 groups"), ("(p)([0-9])", "has 2 groups"), ("(p", "no regular expression")]
)
def test_pattern_of_persons_must_hold_one_group(bench: Bench, pattern: str, told: str) -> None:
    values = make_class_folders(bench.root).model_dump() | {"persons": pattern}
    with pytest.raises(ValueError, match=told):
        Source.model_validate(values)
