import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.codec import (
    Window,
    crop_matrix,
    decode_points,
    encode_points,
    face_window,
    is_face_crop,
    tight_box,
)
from model.errors import DataContractError

windows = st.builds(Window, st.floats(-500, 5000), st.floats(-500, 5000), st.floats(1, 4000))
matrices = st.builds(
    crop_matrix,
    windows,
    rotation=st.floats(-180, 180),
    scale=st.floats(0.5, 2),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    flip=st.booleans(),
)
points = st.lists(st.tuples(st.floats(-100, 5000), st.floats(-100, 5000)), min_size=1, max_size=68).map(np.array)


@given(points, matrices)
def test_decoded_points_are_the_encoded_ones(points_K2, matrix):
    assert np.abs(decode_points(encode_points(points_K2, matrix), matrix) - points_K2).max() < 1e-9 * 5000


@given(points, windows, st.floats(-180, 180), st.floats(0.5, 2))
def test_flip_is_one_minus_u_and_its_own_inverse(points_K2, window, rotation, scale):
    plain = encode_points(points_K2, crop_matrix(window, rotation=rotation, scale=scale))
    flipped = encode_points(points_K2, crop_matrix(window, rotation=rotation, scale=scale, flip=True))
    assert np.allclose(flipped, [1, 0] + plain * [-1, 1], rtol=0, atol=1e-9)
    assert np.allclose([1, 0] + flipped * [-1, 1], plain, rtol=0, atol=1e-9)


@given(windows, st.integers(1, 4000))
def test_flipping_the_crop_equals_cropping_the_mirrored_picture(window, width):
    mirrored = window._replace(cx=(width - 1) - window.cx)
    point = np.array([[window.cx + 3.0, window.cy - 5.0]])
    in_mirrored = encode_points([width - 1, 0] + point * [-1, 1], crop_matrix(mirrored))
    assert np.allclose(in_mirrored, encode_points(point, crop_matrix(window, flip=True)), rtol=0, atol=1e-8)


def test_pixel_p_of_a_whole_picture_lies_at_p_plus_half_over_side():
    matrix = crop_matrix(face_window((0, 0, 63, 63), 64, 64, 1.3))
    assert np.allclose(encode_points([[0, 0], [63, 31]], matrix), [[0.5 / 64, 0.5 / 64], [63.5 / 64, 31.5 / 64]])


def test_rotation_turns_clockwise_as_seen_and_scale_enlarges_about_the_centre():
    right_of_centre = encode_points([[60, 50]], crop_matrix(Window(50, 50, 100), rotation=90, scale=2))
    assert np.allclose(right_of_centre, [[0.5, 0.7]])


def test_shift_moves_the_face_in_crop_units():
    moved = encode_points([[50, 50]], crop_matrix(Window(50, 50, 100), shift=(0.1, -0.2)))
    assert np.allclose(moved, [[0.6, 0.3]])


def test_window_is_crop_scale_times_the_longer_side_around_the_box():
    assert face_window((10, 20, 50, 100), 300, 300, 1.5) == Window(30, 60, 120)


@pytest.mark.parametrize("box", [(0, 0, 100, 80), (0, 0, 99, 79), (1, -1, 98, 80)])
def test_box_at_the_border_means_the_whole_picture_whatever_the_scale(box):
    assert is_face_crop(box, 100, 80)
    assert face_window(box, 100, 80, 1.3) == face_window(box, 100, 80, 2.0) == Window(49.5, 39.5, 100)


@pytest.mark.parametrize("box", [(2, 0, 99, 79), (0, 0, 97, 79), (-3, 0, 99, 79), (0, 0, 99, 83)])
def test_box_off_the_border_on_one_side_is_no_face_crop(box):
    assert not is_face_crop(box, 100, 80)


def test_box_of_points_is_tight():
    assert tight_box([[3, 9], [7, 1], [5, 5]]) == (3, 1, 7, 9)


@pytest.mark.parametrize("points_K2", [[], [[np.nan, 1]], [[np.inf, 1]]])
def test_box_of_no_or_infinite_points_is_refused(points_K2):
    with pytest.raises(DataContractError, match="need at least one point, all finite"):
        tight_box(points_K2)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (9, 0, 3, 20), (0, 0, float("nan"), 5)])
def test_window_of_a_box_without_extent_is_refused(box):
    with pytest.raises(DataContractError, match="need finite x0 <= x1"):
        face_window(box, 100, 100, 1.3)
