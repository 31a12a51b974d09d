"""Names and partners of points."""

import dataclasses

import numpy as np

from model.schema import EXPRESSIONS, FLIP_19, FLIP_68, LANDMARKS, LANDMARKS_19, MANIFEST, REGIONS, VOTES, FaceRecord


def test_flip_twice_is_identity() -> None:
    assert np.array_equal(FLIP_68[FLIP_68], np.arange(LANDMARKS))
    assert np.array_equal(FLIP_19[FLIP_19], np.arange(LANDMARKS_19))


def test_aflw_partners_are_those_of_the_protocol() -> None:
    pairs = [(1, 6), (2, 5), (3, 4), (7, 12), (8, 11), (9, 10), (13, 15), (16, 18)]
    assert all(FLIP_19[left - 1] == right - 1 for left, right in pairs)


def test_flip_exchanges_left_and_right_regions() -> None:
    for right, left in (("right_brow", "left_brow"), ("right_eye", "left_eye")):
        assert set(FLIP_68[REGIONS[right]]) == set(range(LANDMARKS)[REGIONS[left]])


def test_regions_cover_each_point_once() -> None:
    points = [point for region in REGIONS.values() for point in range(LANDMARKS)[region]]
    assert points == list(range(LANDMARKS))


def test_manifest_columns_are_the_fields_of_a_record() -> None:
    assert sorted(MANIFEST.names) == sorted(field.name for field in dataclasses.fields(FaceRecord))


def test_votes_begin_with_our_expressions() -> None:
    assert VOTES[: len(EXPRESSIONS)] == EXPRESSIONS
