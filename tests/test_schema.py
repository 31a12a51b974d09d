"""Names and partners of points."""

import dataclasses

import numpy as np

from model.schema import EXPRESSIONS, FLIP_19, FLIP_68, LANDMARKS, LANDMARKS_19, MANIFEST, REGIONS, VOTES, FaceRecord

PAIRS_68 = [
    *[(0, 16), (1, 15), (2, 14), (3, 13), (4, 12), (5, 11), (6, 10), (7, 9)],
    *[(17, 26), (18, 25), (19, 24), (20, 23), (21, 22)],
    *[(31, 35), (32, 34)],
    *[(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)],
    *[(48, 54), (49, 53), (50, 52), (55, 59), (56, 58)],
    *[(60, 64), (61, 63), (65, 67)],
]
MIDDLE_68 = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


def test_partners_are_those_of_the_numbering_of_ibug() -> None:
    """https://ibug.doc.ic.ac.uk/resources/facial-point-annotations: its figure, numbered from 0 here."""
    assert (len(PAIRS_68), len(MIDDLE_68)) == (29, 10)
    expected = np.full(LANDMARKS, -1)
    for right, left in [*PAIRS_68, *zip(MIDDLE_68, MIDDLE_68, strict=True)]:
        expected[[right, left]] = left, right
    assert np.array_equal(FLIP_68, expected)


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
