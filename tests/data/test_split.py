"""Holding out by group."""

from collections import defaultdict

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
