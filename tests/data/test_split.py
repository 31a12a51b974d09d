"""Holding out by group."""

from collections import defaultdict
from dataclasses import replace

import pytest

from model.data.split import hold_out
from model.schema import FaceRecord


def faces(count: int, per_group: int = 1) -> list[FaceRecord]:
    return [
        FaceRecord(f"a/{i}", "a", "train", "", f"{i}.png", group=f"g{i // per_group}", sha256=f"{i:064}")
        for i in range(count)
    ]


def test_share_of_groups_is_about_what_was_asked() -> None:
    held = hold_out(faces(4000), sources=["a"], share=0.1, seed=0)
    assert sum(face.split == "val" for face in held) == pytest.approx(400, abs=60)


def test_no_group_is_cut() -> None:
    """T05."""
    splits = defaultdict(set)
    for face in hold_out(faces(600, per_group=3), sources=["a"], share=0.3, seed=1):
        splits[face.group].add(face.split)
    assert all(len(found) == 1 for found in splits.values())


def test_identical_pictures_stay_together_across_groups() -> None:
    """T04: a chain of shared bytes links whole groups."""
    linked = [
        FaceRecord(f"a/{i}", "a", "train", "", f"{i}.png", group=f"g{i // 2}", sha256=f"{(i + 1) // 2}")
        for i in range(200)
    ]
    assert len({face.split for face in hold_out(linked, sources=["a"], share=0.5, seed=2)}) == 1


def test_membership_depends_on_seed_and_group_alone() -> None:
    some = {face.record_id: face.split for face in hold_out(faces(100), sources=["a"], share=0.5, seed=3)}
    more = {face.record_id: face.split for face in hold_out(faces(200)[::-1], sources=["a"], share=0.5, seed=3)}
    other = {face.record_id: face.split for face in hold_out(faces(100), sources=["a"], share=0.5, seed=4)}
    assert some == {name: more[name] for name in some}
    assert some != other


def test_other_sources_and_test_faces_stay_where_they_are() -> None:
    records = [FaceRecord("a/1", "a", "test", "", "1.png"), FaceRecord("b/1", "b", "train", "", "1.png")]
    assert hold_out(records, sources=["a"], share=1.0, seed=0) == records


def extract(source: str, splits: dict[str, str]) -> list[FaceRecord]:
    """A face of each person of a source that shares its persons with others, in the split that is named."""
    return [
        FaceRecord(f"{source}/{who}", source, split, "", f"{source}/{who}.png", group=f"celeba/{who}")
        for who, split in splits.items()
    ]


def split_of(records: list[FaceRecord]) -> dict[str, str]:
    return {record.record_id: record.split for record in records}


def test_person_of_two_sources_is_drawn_into_one_split() -> None:
    """T05."""
    people = dict.fromkeys(map(str, range(200)), "train")
    splits = split_of(hold_out([*extract("a", people), *extract("b", people)], sources=["a", "b"], share=0.3, seed=5))
    assert all(splits[f"a/{who}"] == splits[f"b/{who}"] for who in people)
    assert {splits[f"a/{who}"] for who in people} == {"train", "val"}


def test_person_goes_where_a_source_with_its_own_validation_part_has_placed_it() -> None:
    """T05: no draw moves a person away from the split of another source; who is not there is drawn as ever."""
    official = {str(who): "val" if who % 5 == 0 else "train" for who in range(100)}
    given, own = extract("given", official), extract("own", dict.fromkeys(map(str, range(200)), "train"))
    alone = split_of(hold_out(own, sources=["own"], share=0.3, seed=6))
    splits = split_of(hold_out([*given, *own], sources=["own"], share=0.3, seed=6))
    assert {who: splits[f"own/{who}"] for who in official} == official
    strangers = [f"own/{who}" for who in range(100, 200)]
    assert [splits[name] for name in strangers] == [alone[name] for name in strangers]


def test_a_picture_goes_where_a_source_with_its_own_validation_part_has_placed_its_bytes() -> None:
    """T04: in either part, by way of a chain too; what no other source has is drawn as ever."""
    own = faces(100)
    given = [
        FaceRecord(f"given/{i}", "given", "val" if i % 2 else "train", "", f"{i}.png", sha256=f"{i:064}")
        for i in range(50)
    ]
    chain = FaceRecord("given/chain", "given", "train", "", "50.png", group="pair", sha256=f"{50:064}")
    given += [chain, replace(chain, record_id="given/end", split="val", sha256=f"{51:064}")]
    alone = split_of(hold_out(own, sources=["a"], share=0.5, seed=7))
    both = split_of(hold_out([*own, *given], sources=["a"], share=0.5, seed=7))
    assert {i: both[f"a/{i}"] for i in range(50)} == {i: "val" if i % 2 else "train" for i in range(50)}
    assert both["a/50"] == both["a/51"] == "val"
    assert {f"a/{i}": both[f"a/{i}"] for i in range(52, 100)} == {f"a/{i}": alone[f"a/{i}"] for i in range(52, 100)}
    assert {record.record_id: record.split for record in given} == {r.record_id: both[r.record_id] for r in given}


def test_parts_that_a_source_names_itself_are_not_changed_for_another() -> None:
    given = extract("given", {"1": "train", "2": "val", "3": "test"})
    own = extract("own", {"1": "test", "2": "test", "3": "train"})
    after = hold_out([*given, *own], sources=["own"], share=0.0, seed=0)
    assert split_of(after) == split_of([*given, *own])
