import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.codec import Window, crop_matrix, decode_points, encode_points
from model.data.transforms import crop_face, warp


def smooth(height, width, seed=0):
    """A picture without detail below about 16 px, so that resampling hardly changes it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_face_crop_of_the_networks_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    crop, _ = crop_face(image, (0, 0, 64, 64), size=64, crop_scale=1.3)
    assert (crop == image).all()


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_shrinking_by_a_whole_number_is_the_mean_of_the_pixels(factor):
    image = np.random.default_rng(0).integers(0, 256, (32 * factor, 32 * factor, 3), dtype=np.uint8)
    crop, _ = crop_face(image, (0, 0, 32 * factor, 32 * factor), size=32, crop_scale=1.3)
    mean = image.reshape(32, factor, 32, factor, 3).mean(axis=(1, 3))
    assert np.abs(crop - mean).max() <= 0.5 + 1e-6


@settings(deadline=None, max_examples=30)
@given(st.floats(1.75, 9), st.floats(-180, 180))
def test_shrinking_does_not_alias(shrink, rotation):
    """Stripes finer than the crop can show lose more than half of their contrast of 127."""
    size = 32
    side = int(shrink * size * 1.5) + 8
    stripes = np.where(np.arange(side) % 2, 255, 0).astype(np.uint8)
    image = np.broadcast_to(stripes[None, :, None], (side, side, 3)).copy()
    window = Window((side - 1) / 2, (side - 1) / 2, shrink * size)
    assert warp(image, crop_matrix(window, rotation=rotation), size).std() < 127 / 2


@settings(deadline=None, max_examples=30)
@given(
    st.floats(0.3, 6),
    st.floats(-180, 180),
    st.floats(0.8, 1.25),
    st.floats(-0.2, 0.2),
    st.booleans(),
    st.integers(0, 9),
)
def test_a_mark_lands_where_its_point_is_encoded(shrink, rotation, scale, shift, flip, seed):
    """Pixels and points go through the same map: the centre of a drawn disc is found at its encoded point."""
    size, side = 48, 400
    image = np.zeros((side, side, 3), dtype=np.uint8)
    centre = np.random.default_rng(seed).uniform(190, 210, 2)
    y, x = np.mgrid[:side, :side]
    distance = np.hypot(x - centre[0], y - centre[1])
    radius = max(2.5, 4 * shrink)
    image[:] = (255 * np.clip(radius + 0.5 - distance, 0, 1)).astype(np.uint8)[:, :, None]
    matrix = crop_matrix(
        Window(200, 200, shrink * size), rotation=rotation, scale=scale, shift=(shift, -shift), flip=flip
    )
    unit = encode_points(centre, matrix)
    inside = radius / (shrink * size) * scale + 0.05
    if not ((unit > inside) & (unit < 1 - inside)).all():
        return
    weight = warp(image, matrix, size)[:, :, 0].astype(float)
    found = [(weight.sum(axis=axis) @ (np.arange(size) + 0.5)) / weight.sum() / size for axis in (0, 1)]
    assert np.abs(found - unit).max() * size < 0.15


@settings(deadline=None, max_examples=20)
@given(st.floats(0.4, 5), st.floats(-40, 40), st.integers(0, 5))
def test_mirrored_crop_is_the_crop_of_the_mirrored_picture(shrink, rotation, seed):
    """Mirroring commutes with cutting, up to rounding and to where the blocks of the reduction begin.

    A reduction by four may begin its blocks up to three pixels apart: at most 4 % of the range.
    """
    image = smooth(220, 301, seed)
    window = Window(140.3, 111.8, shrink * 40)
    flipped = warp(image, crop_matrix(window, rotation=rotation, flip=True), 40)
    mirrored_window = window._replace(cx=300 - window.cx)
    from_mirrored = warp(image[:, ::-1], crop_matrix(mirrored_window, rotation=-rotation), 40)
    plain = warp(image, crop_matrix(window, rotation=rotation), 40)
    allowed = 0.04 * 255
    assert np.abs(flipped.astype(int) - plain[:, ::-1]).max() <= allowed
    assert np.abs(flipped.astype(int) - from_mirrored).max() <= allowed


def test_outside_the_picture_its_border_repeats():
    image = smooth(64, 64)
    crop = warp(image, crop_matrix(Window(31.5, 31.5, 128)), 128)
    assert (crop[:32, 32:96] == image[:1]).all()
    assert (crop[32:96, 96:] == image[:, -1:]).all()


@pytest.mark.parametrize("shrink", [1, 8])
def test_a_window_wholly_outside_is_the_nearest_border(shrink):
    image = np.zeros((50, 50, 3), dtype=np.uint8)
    image[0, 0] = 200
    image[:8, :8] = 200
    crop = warp(image, crop_matrix(Window(-900, -900, 32 * shrink)), 32)
    assert (crop == 200).all()


def test_crop_scale_gives_the_box_its_share_of_the_crop():
    _, matrix = crop_face(smooth(300, 300), (100, 120, 180, 160), size=64, crop_scale=1.6)
    assert np.allclose(
        encode_points([[100, 140], [180, 140]], matrix), [[0.5 - 0.5 / 1.6, 0.5], [0.5 + 0.5 / 1.6, 0.5]]
    )
    assert np.allclose(decode_points([[0.5, 0.5]], matrix), [[140, 140]])


def test_part_of_a_larger_array_is_cut_like_its_copy():
    image = smooth(200, 200)
    view = image[10:150, 20:180]
    cut, _ = crop_face(view, (30, 30, 90, 90), size=48, crop_scale=1.3)
    copied, _ = crop_face(view.copy(), (30, 30, 90, 90), size=48, crop_scale=1.3)
    assert (cut == copied).all()
