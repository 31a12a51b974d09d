"""What happens to faces before they are asked about: laws of the changes."""

from math import hypot

import numpy as np
import pytest

from benchmarks.perturb import CHANGES, CONDITIONS, Condition, Scene, perturb, side_of

BOX = (20.0, 15.0, 60.0, 65.0)
GENTLE = {
    "blur": 1e-3,
    "darken": 1e-3,
    "fade": 1e-3,
    "coarsen": 50,
    "shift_box": 1e-6,
    "scale_box": 1e-6,
    "cover": 1e-6,
}


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Smooth colours with some noise, darker to the right."""
    noise = np.random.default_rng(0).integers(-8, 9, (80, 90, 3))
    ramp = np.linspace(200, 60, 90)[None, :, None] * np.array([1.0, 0.9, 0.8])
    return Scene(np.clip(ramp + noise, 0, 255).astype(np.uint8), BOX)


def changed(scene: Scene, change: str, strength: float, seed: int = 0) -> Scene:
    return perturb(scene, Condition("a test", change, strength), np.random.default_rng(seed))


def test_each_change_stands_in_the_table() -> None:
    assert {condition.change for condition in CONDITIONS} == set(CHANGES)
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS)


@pytest.mark.parametrize("change", CHANGES)
def test_strength_zero_changes_nothing(change: str, scene: Scene) -> None:
    assert changed(scene, change, 0) is scene


@pytest.mark.parametrize("change", GENTLE)
def test_almost_no_strength_changes_almost_nothing(change: str, scene: Scene) -> None:
    after = changed(scene, change, GENTLE[change])
    assert np.abs(after.image_HWC.astype(int) - scene.image_HWC).max() <= 2
    assert np.abs(np.subtract(after.box, scene.box)).max() < 1e-3


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_kind_and_shape_are_kept_and_the_input_is_left_alone(condition: Condition, scene: Scene) -> None:
    before = scene.image_HWC.copy()
    after = perturb(scene, condition, np.random.default_rng(0))
    assert after.image_HWC.dtype == np.uint8
    assert after.image_HWC.shape == before.shape
    assert np.array_equal(scene.image_HWC, before)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_equal_generators_give_equal_scenes(condition: Condition, scene: Scene) -> None:
    first, second = (perturb(scene, condition, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.image_HWC, second.image_HWC)
    assert first.box == second.box


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_change_is_of_the_picture_or_of_the_box(condition: Condition, scene: Scene) -> None:
    after = perturb(scene, condition, np.random.default_rng(0))
    moved, painted = after.box != scene.box, not np.array_equal(after.image_HWC, scene.image_HWC)
    assert (moved, painted) == (condition.change.endswith("_box"), bool(condition.strength) and not moved)


def test_a_stop_halves_the_light(scene: Scene) -> None:
    light = [(item.image_HWC / 255.0) ** 2.2 for item in (scene, changed(scene, "darken", 1))]
    assert light[1].mean() == pytest.approx(light[0].mean() / 2, rel=0.01)


def test_grey_has_one_value_in_all_channels(scene: Scene) -> None:
    grey = changed(scene, "fade", 1).image_HWC
    assert np.ptp(grey, axis=2).max() == 0


def test_a_coarse_face_keeps_no_detail_finer_than_its_pixels(scene: Scene) -> None:
    stripes = scene._replace(image_HWC=np.tile(np.uint8([[[0]], [[255]]]), (40, 90, 3)))
    assert np.ptp(changed(stripes, "coarsen", 16).image_HWC[20:60]) < 100
    assert changed(stripes, "coarsen", 64) is stripes


def test_a_shift_moves_by_its_share_of_the_longer_side_in_any_direction(scene: Scene) -> None:
    moves = [np.subtract(changed(scene, "shift_box", 0.1, seed).box, BOX) for seed in range(40)]
    assert all(hypot(*move[:2]) == pytest.approx(0.1 * side_of(BOX)) for move in moves)
    assert all(move[:2] == pytest.approx(move[2:]) for move in moves)
    assert {(bool(move[0] > 0), bool(move[1] > 0)) for move in moves} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_scale_keeps_the_centre(scene: Scene) -> None:
    box = changed(scene, "scale_box", 0.2).box
    assert side_of(box) == pytest.approx(1.2 * side_of(BOX))
    assert (box[0] + box[2], box[1] + box[3]) == pytest.approx((BOX[0] + BOX[2], BOX[1] + BOX[3]))


def test_a_cover_hides_its_share_of_the_box_and_nothing_outside(scene: Scene) -> None:
    for seed in range(20):
        hidden = (changed(scene, "cover", 0.2, seed).image_HWC != scene.image_HWC).any(axis=2)
        rows, columns = np.nonzero(hidden)
        assert hidden.sum() == pytest.approx(0.2 * 40 * 50, rel=0.1)
        assert BOX[0] - 1 <= columns.min() and columns.max() <= BOX[2] + 1
        assert BOX[1] - 1 <= rows.min() and rows.max() <= BOX[3] + 1
