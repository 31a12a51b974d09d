"""The shape prior."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.config.data import Source, Splits
from model.data.readers import read_source
from model.data.validate.numbering import numbering_gain
from model.data.validate.shape import mean_face, shape_distance, turn_of
from model.schema import FLIP_68
from tests.data.layouts import face_points


def test_shift_turn_and_scale_change_nothing() -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = face_points(1)
    moved = 3.7 * points @ turn.T + (100, -20)
    assert shape_distance(moved[None]) == pytest.approx(shape_distance(points[None]))
    assert turn_of(moved[None]) == pytest.approx(turn_of(points[None]) + np.degrees(angle))
    assert turn_of(mean_face()[None] @ [[0, 1], [-1, 0]]) == pytest.approx(90)
    assert shape_distance(mean_face()[None]) == pytest.approx(0, abs=1e-6)


def test_mean_face_is_its_own_mirror_image() -> None:
    """T06: the 68-permutation is an involution."""
    assert np.array_equal(FLIP_68[FLIP_68], np.arange(68))
    assert np.allclose(mean_face()[FLIP_68] * (-1, 1), mean_face())


def mirrored(first: int, end: int) -> NDArray[np.int64]:
    """The order of points whose numbers from `first` to `end` count from the other side."""
    order = np.arange(68)
    order[first:end] = FLIP_68[first:end]
    return order


@pytest.mark.parametrize(
    "wrong",
    [
        lambda points: points[:, ::-1],
        lambda points: points[FLIP_68],
        lambda points: points * (1, -1),
        lambda points: points * 0,
        lambda points: points[::-1],
    ],
    ids=["swapped", "mirrored numbering", "upwards", "collapsed", "reversed"],
)
def test_wrong_shapes_are_far_from_a_face(wrong: object) -> None:
    """T02."""
    assert callable(wrong)
    assert shape_distance(wrong(face_points(1))[None])[0] > 0.9


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (mirrored(17, 27), "the brows are numbered from the other side"),
        (mirrored(36, 48), "the eyes are numbered from the other side"),
        (mirrored(48, 68), "the mouth is numbered from the other side"),
        (np.roll(np.arange(68), 1), "each point has the number of the one after"),
        (np.roll(np.arange(68), -1), "each point has the number of the one before"),
    ],
)
def test_an_order_wrong_in_one_part_is_told_though_the_shape_is_near(order: NDArray[np.int64], told: str) -> None:
    """T02."""
    points = np.stack([face_points(seed) for seed in range(20)])
    assert shape_distance(points[:, order]).max() < 0.6
    gain, names = numbering_gain(points[:, order])
    assert gain.min() > 0.05
    assert set(names) == {told}
    assert numbering_gain(points)[0].max() < -0.05


def test_no_faces_have_no_gain() -> None:
    gain, names = numbering_gain(np.empty((0, 68, 2)))
    assert (gain.shape, names) == ((0,), [])


@pytest.mark.data
@pytest.mark.skipif("RMTL_BENCHMARKS" not in os.environ, reason="RMTL_BENCHMARKS names no folder of benchmarks")
def test_real_faces_are_near_upright_and_in_order_and_their_swapped_points_are_far() -> None:
    """T02: HELEN, LFPW and AFW."""
    splits = Splits(train=("helen/trainset", "lfpw/trainset"), test=("afw",))
    source = Source(name="w", reader="w300", path="300w", restricted=True, splits=splits)
    faces = read_source(source, Path(os.environ["RMTL_BENCHMARKS"]))
    points = np.array([face.points for face in faces]).reshape(-1, 68, 2)
    assert shape_distance(points).max() < 0.45
    assert np.abs(turn_of(points)).max() < 40
    assert numbering_gain(points)[0].max() < -0.05
    assert shape_distance(points[..., ::-1]).min() > 0.9
