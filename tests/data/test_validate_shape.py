"""The shape prior."""

import os
from pathlib import Path

import numpy as np
import pytest

from model.config.data import Source, Splits
from model.data.readers import read_source
from model.data.validate.shape import mean_face, shape_distance
from model.schema import FLIP_68
from tests.data.layouts import face_points


def test_shift_turn_and_scale_change_nothing() -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = face_points(1)
    moved = 3.7 * points @ turn.T + (100, -20)
    assert shape_distance(moved[None]) == pytest.approx(shape_distance(points[None]))
    assert shape_distance(mean_face()[None]) == pytest.approx(0, abs=1e-6)


def test_mean_face_is_its_own_mirror_image() -> None:
    """T06: the 68-permutation is an involution."""
    assert np.array_equal(FLIP_68[FLIP_68], np.arange(68))
    assert np.allclose(mean_face()[FLIP_68] * (-1, 1), mean_face())


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


@pytest.mark.data
@pytest.mark.skipif("RMTL_BENCHMARKS" not in os.environ, reason="RMTL_BENCHMARKS names no folder of benchmarks")
def test_real_faces_are_near_and_their_swapped_points_are_far() -> None:
    """T02."""
    splits = Splits(test=("afw",))
    source = Source(name="w", reader="w300", path="300w", restricted=True, splits=splits)
    faces = read_source(source, Path(os.environ["RMTL_BENCHMARKS"]))
    points = np.array([face.points for face in faces]).reshape(-1, 68, 2)
    assert shape_distance(points).max() < 0.45
    assert shape_distance(points[..., ::-1]).min() > 0.9
