import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.metrics import area_under_ced, cumulative_errors, failure_rate, mean_nme, nme, normaliser_lengths


def faces(number: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (number, 68, 2))
    return truth + rng.normal(0, 2, truth.shape), truth


@settings(max_examples=50, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.05, 50),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    kind=st.sampled_from(["inter_ocular", "inter_pupil"]),
)
def test_nme_stays_under_rotation_translation_and_scale(angle, scale, shift, kind):
    predicted, truth = faces()
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = [points @ turn.T + shift for points in (predicted, truth)]
    before = nme(predicted, truth, normaliser_lengths(kind, truth))
    np.testing.assert_allclose(nme(*moved, normaliser_lengths(kind, moved[1])), before, rtol=1e-6)


def test_a_shift_of_one_inter_ocular_distance_is_an_error_of_one():
    truth = faces()[1]
    lengths = normaliser_lengths("inter_ocular", truth)
    shifted = truth + np.stack([lengths, 0 * lengths], 1)[:, None]
    np.testing.assert_allclose(nme(shifted, truth, lengths), 1.0)


def test_side_of_a_square_box_gives_sqrt_two_times_the_diagonal_error():
    predicted, truth = faces()
    box = np.tile([10.0, 20.0, 50.0, 60.0], (5, 1))
    by_side = nme(predicted, truth, normaliser_lengths("box_side", truth, box))
    by_diagonal = nme(predicted, truth, normaliser_lengths("box_diagonal", truth, box))
    np.testing.assert_allclose(by_side, np.sqrt(2) * by_diagonal)


def test_inter_pupil_is_the_distance_of_the_eye_centres():
    truth = np.zeros((1, 68, 2))
    truth[0, 36:42] = [10, 5]
    truth[0, 42:48] = [13, 9]
    assert normaliser_lengths("inter_pupil", truth)[0] == pytest.approx(5)


def test_masked_points_do_not_count_and_unknown_truth_never_does():
    predicted, truth = faces(1)
    predicted[0, 3] += 1e6
    mask = np.ones((1, 68), bool)
    mask[0, 3] = False
    lengths = normaliser_lengths("inter_ocular", truth)
    masked = nme(predicted, truth, lengths, mask)
    unknown = truth.copy()
    unknown[0, 3] = np.nan
    assert masked[0] < 1
    assert nme(predicted, unknown, lengths)[0] == pytest.approx(masked[0])


def test_unusable_faces_have_no_error_and_wild_answers_fail():
    predicted, truth = faces(4)
    lengths = normaliser_lengths("inter_ocular", truth)
    lengths[0] = np.nan
    truth[1] = np.nan
    predicted[2, 7] = np.nan
    errors = nme(predicted, truth, lengths)
    assert np.isnan(errors[[0, 1]]).all()
    assert np.isinf(errors[2])
    assert failure_rate(errors, 0.9) == 0.5
    assert np.isnan(normaliser_lengths("inter_ocular", np.zeros((1, 68, 2)))).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=40), st.sampled_from([0.08, 0.1]))
def test_failure_rate_and_area_agree_with_a_brute_force_curve(values, threshold):
    errors = np.array(values)
    grid = np.linspace(0, threshold, 20001)
    curve = (errors[None] <= grid[:, None]).mean(axis=1)
    brute = np.trapezoid(curve, grid) / threshold
    assert area_under_ced(errors, threshold) == pytest.approx(brute, abs=1e-3)
    assert failure_rate(errors, threshold) == pytest.approx(1 - curve[-1])


def test_cumulative_curve_ends_at_one_and_counts_ties_once():
    values, shares = cumulative_errors(np.array([0.2, 0.1, 0.2, np.nan]))
    np.testing.assert_allclose(values, [0.1, 0.2])
    np.testing.assert_allclose(shares, [1 / 3, 1.0])


def test_no_face_gives_nan_without_a_warning():
    none = np.zeros(0)
    with np.errstate(all="raise"):
        assert np.isnan([mean_nme(none), failure_rate(none, 0.1), area_under_ced(none, 0.1)]).all()
    assert [len(part) for part in cumulative_errors(none)] == [0, 0]
    assert nme(np.zeros((0, 68, 2)), np.zeros((0, 68, 2)), none).shape == (0,)


def test_a_box_normaliser_without_boxes_is_refused():
    with pytest.raises(ValueError, match="needs the boxes"):
        normaliser_lengths("box_side", faces()[1])
    with pytest.raises(ValueError, match="needs 68 points, found 19"):
        normaliser_lengths("inter_ocular", np.zeros((2, 19, 2)))
