import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score

from model.evaluation.metrics import (
    accuracy,
    class_scores,
    confusion_matrix,
    ece,
    fit_temperature,
    macro_f1,
    majority_label,
    mean_class_accuracy,
    nll,
    retemper,
)
from model.schema import NO_LABEL

labels = st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 6)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(labels)
def test_class_metrics_agree_with_scikit_learn_over_the_classes_that_occur(pairs):
    """T08: oracle sklearn, with the labels restricted to the classes that have a true face."""
    predicted, true = np.array(pairs).T
    known = true != NO_LABEL
    if not known.any():
        assert np.isnan([accuracy(predicted, true), macro_f1(predicted, true)]).all()
        return
    present = np.unique(true[known])
    scores = {"labels": present, "average": "macro", "zero_division": 0}
    assert macro_f1(predicted, true) == pytest.approx(f1_score(true[known], predicted[known], **scores))
    precision, _, _ = class_scores(confusion_matrix(predicted, true))
    assert np.nanmean(precision) == pytest.approx(precision_score(true[known], predicted[known], **scores))
    assert accuracy(predicted, true) == pytest.approx((predicted == true)[known].mean())


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_mean_class_accuracy_is_the_balanced_accuracy():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 5, 200), rng.integers(0, 7, 200)
    assert mean_class_accuracy(predicted, true) == pytest.approx(balanced_accuracy_score(true, predicted))


def test_a_missing_class_is_left_out_without_dividing_by_zero():
    """T08: a class absent from a split is null, and the mean is over the others."""
    true = np.array([0, 0, 1, 1])
    with np.errstate(all="raise"):
        precision, recall, f1 = class_scores(confusion_matrix(np.array([0, 0, 1, 2]), true))
        assert mean_class_accuracy(np.array([0, 0, 1, 2]), true) == 0.75
        assert macro_f1(np.full(4, 5), true) == 0
    assert np.isnan([precision[2:], recall[2:], f1[2:]]).all()
    assert recall[:2].tolist() == [1.0, 0.5]


def test_rows_of_the_confusion_matrix_are_the_truth():
    matrix = confusion_matrix(np.array([2, 2, 1]), np.array([0, 0, NO_LABEL]))
    assert matrix[0, 2] == 2
    assert matrix.sum() == 2


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([6, 1, 1, 1, 1, 0, 0, 0, 0, 0], 0),
        ([0, 5, 5, 0, 0, 0, 0, 0, 0, 0], NO_LABEL),
        ([0, 6, 4, 0, 0, 0, 0, 0, 0, 0], 1),
        ([0, 0, 3, 2, 2, 0, 0, 0, 0, 0], NO_LABEL),
        ([2, 0, 0, 0, 0, 0, 0, 8, 0, 0], NO_LABEL),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], NO_LABEL),
        (None, NO_LABEL),
    ],
)
def test_majority_drops_single_votes_and_needs_more_than_half_for_one_of_our_names(votes, expected):
    assert majority_label(votes) == expected


def calibrated(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their own softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (number, 7))
    draws = rng.random(number)[:, None]
    return logits, (softmax(logits, axis=1).cumsum(axis=1) < draws).sum(axis=1)


def test_calibrated_answers_have_almost_no_calibration_error_and_sharpened_ones_do():
    logits, true = calibrated(40000)
    assert ece(softmax(logits, axis=1), true) < 0.01
    assert ece(softmax(3 * logits, axis=1), true) > 0.1


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(temperature):
    logits, true = calibrated(20000)
    assert fit_temperature(temperature * logits, true) == pytest.approx(temperature, rel=0.05)


def test_fitted_temperature_lowers_the_likelihood_loss():
    logits, true = calibrated(2000)
    sharp = softmax(2.5 * logits, axis=1)
    fitted = retemper(sharp, fit_temperature(2.5 * logits, true))
    assert nll(fitted, true).mean() < nll(sharp, true).mean()


def test_retemper_by_the_inverse_undoes_a_temperature():
    logits, _ = calibrated(50)
    np.testing.assert_allclose(retemper(softmax(logits / 2, axis=1), 0.5), softmax(logits, axis=1), atol=1e-9)


def test_no_labelled_face_is_nan_and_temperature_one():
    nobody = np.full(3, NO_LABEL)
    probabilities = np.full((3, 7), 1 / 7)
    assert np.isnan(ece(probabilities, nobody))
    assert np.isnan(nll(probabilities, nobody)).all()
    assert fit_temperature(np.zeros((3, 7)), nobody) == 1.0
    assert np.isnan(ece(np.zeros((0, 7)), np.zeros(0, int)))
    assert np.isnan(accuracy(np.zeros(0, int), np.zeros(0, int)))
