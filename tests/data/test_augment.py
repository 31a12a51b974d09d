import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import AugmentConfig
from model.data.augment import augment, change_of, draw_luck, vary_pixels
from model.data.codec import encode_points
from model.data.transforms import crop_face

BOX = (20.0, 25.0, 90.0, 88.0)


@pytest.fixture
def image():
    coarse = np.random.default_rng(0).integers(60, 190, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def still(config):
    """No change at all."""
    return config.train.augment.model_copy(update=dict.fromkeys(AugmentConfig.model_fields, 0.0))


def luck_of(seed):
    """What chance decides of one face."""
    return draw_luck(np.random.default_rng(seed), 1)[0]


def augment_one(image, config, seed, *, size):
    """Crop, matrix and whether it is mirrored, of one face."""
    images, matrices, flipped = augment([image], [BOX], config, [luck_of(seed)], size=size, crop_scale=1.3)
    return images[0], matrices[0], flipped[0]


def test_without_ranges_the_crop_is_that_of_evaluation(image, still):
    crop, matrix, flipped = augment_one(image, still, 0, size=64)
    plain, plain_matrix = crop_face(image, BOX, size=64, crop_scale=1.3)
    assert (crop == plain).all()
    assert np.allclose(matrix, plain_matrix, rtol=0, atol=1e-12)
    assert not flipped


def test_equal_seeds_give_equal_crops_and_others_do_not(image, config):
    crops = [augment_one(image, config.train.augment, seed, size=64)[0] for seed in (1, 1, 2)]
    assert (crops[0] == crops[1]).all()
    assert (crops[0] != crops[2]).any()


def test_certain_flip_mirrors_crop_and_points(image, still):
    always = still.model_copy(update={"flip": 1.0})
    crop, matrix, flipped = augment_one(image, always, 0, size=64)
    plain, plain_matrix = crop_face(image, BOX, size=64, crop_scale=1.3)
    point = [[33.0, 71.0]]
    assert flipped
    assert np.abs(crop[:, ::-1].astype(int) - plain).max() <= 4
    assert np.allclose(encode_points(point, matrix), [1, 0] + encode_points(point, plain_matrix) * [-1, 1])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_geometry_stays_in_its_ranges(config, seed):
    ranges = config.train.augment
    change = change_of(ranges, luck_of(seed))
    assert abs(change.rotation) <= ranges.rotation
    assert 1 / (1 + ranges.scale) <= change.scale <= 1 + ranges.scale
    assert max(map(abs, change.shift)) <= ranges.shift


@pytest.mark.parametrize("name", ["brightness", "contrast", "grey", "blur", "noise", "low_resolution", "erase"])
def test_each_change_alone_alters_the_crop_and_not_its_input(image, still, name):
    before = image.copy()
    changed = vary_pixels(image, still.model_copy(update={name: 1.0}), luck_of(0))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert (changed != image).any()
    assert (image == before).all()


@pytest.mark.parametrize("name", ["noise", "grey", "erase", "low_resolution", "flip"])
def test_a_probability_of_a_third_acts_on_a_third(still, name):
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    some = still.model_copy(update={name: 1 / 3})
    plain, _ = crop_face(image, BOX, size=32, crop_scale=1.3)
    crops = [augment_one(image, some, seed, size=32)[0] for seed in range(300)]
    assert 0.24 < np.mean([(crop != plain).any() for crop in crops]) < 0.43


def test_faces_of_a_batch_do_not_touch_one_another(image, config):
    """A face is varied the same whoever stands beside it."""
    lucks = draw_luck(np.random.default_rng(4), 3)
    pictures = [image, image[::-1].copy(), image[:, ::-1].copy()]
    together = augment(pictures, [BOX] * 3, config.train.augment, lucks, size=64, crop_scale=1.3)
    for number in range(3):
        one = augment(
            pictures[number : number + 1],
            [BOX],
            config.train.augment,
            lucks[number : number + 1],
            size=64,
            crop_scale=1.3,
        )
        assert all((mine[number] == alone[0]).all() for mine, alone in zip(together, one, strict=True))


def test_noise_has_no_mean_and_the_deviation_drawn(still):
    """2 to 16 grey levels, around what was there; a side that is no multiple of the words drawn."""
    plain = np.full((63, 63, 3), 128, dtype=np.uint8)
    noisy = still.model_copy(update={"noise": 1.0})
    for seed in range(5):
        luck = luck_of(seed)
        difference = vary_pixels(plain, noisy, luck) - 128.0
        assert abs(difference.mean()) < 0.5
        assert difference.std() == pytest.approx(2 + 14 * luck.noise_sigma, rel=0.05)


def test_grey_removes_colour(image, still):
    grey = vary_pixels(image, still.model_copy(update={"grey": 1.0}), luck_of(0))
    assert (grey == grey[:, :, :1]).all()


def test_low_resolution_and_blur_lose_detail(still):
    detail = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("low_resolution", "blur"):
        changed = vary_pixels(detail, still.model_copy(update={name: 1.0}), luck_of(3))
        assert changed.std() < 0.8 * detail.std()


def test_tone_saturates_instead_of_wrapping(still):
    bright = still.model_copy(update={"brightness": 1.0})
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(4, axis=0)
    for seed in range(10):
        rows = vary_pixels(ramp, bright, luck_of(seed))[0, :, 0].astype(int)
        assert (np.diff(rows) >= 0).all()
