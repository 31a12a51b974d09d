"""Measures are sums over faces: each must equal the plain metric of the same faces."""

import numpy as np
import pytest

from model.evaluation import metrics
from model.evaluation.answers import FaceAnswers, FaceTruth
from model.evaluation.bootstrap import Resampler
from model.evaluation.measures import all_statistics, face_errors, measure
from model.schema import EXPRESSIONS, NO_LABEL

NUMBER = 60


@pytest.fixture(scope="module")
def faces() -> tuple[FaceAnswers, FaceTruth]:
    """Random answers; every third face lacks points, every fourth a class, the 19 points are on the first half."""
    rng = np.random.default_rng(4)
    truth = rng.uniform(0, 100, (NUMBER, 68, 2))
    predicted = truth + rng.normal(0, 4, truth.shape)
    truth[::3] = np.nan
    points19 = rng.uniform(0, 100, (NUMBER, 19, 2))
    points19[NUMBER // 2 :] = np.nan
    labels = np.where(np.arange(NUMBER) % 4 == 0, NO_LABEL, rng.integers(0, 6, NUMBER))
    answers = FaceAnswers(
        predicted, None, rng.dirichlet(np.ones(7), NUMBER), np.nan_to_num(points19) + rng.normal(0, 2, points19.shape),
        predicted + 1, rng.dirichlet(np.ones(7), NUMBER),
    )  # fmt: skip
    box = np.tile([0.0, 0.0, 100.0, 100.0], (NUMBER, 1))
    visible = rng.random((NUMBER, 19)) < 0.7
    return answers, FaceTruth(box, truth, points19, visible, labels, np.full(NUMBER, NO_LABEL))


@pytest.fixture(scope="module")
def measured(faces, config):
    answers, truth = faces
    masks = {"all": np.ones(NUMBER, bool), "source=a": np.arange(NUMBER) < 20, "class=fear": truth.expression_N == 4}
    masks["pose=|yaw|>30"] = np.arange(NUMBER) % 3 == 0
    resampler = Resampler(range(NUMBER), resamples=40, seed=0, level=0.95)
    errors = face_errors(answers, truth, config.evaluate)
    statistics = all_statistics(answers, truth, errors, config=config.evaluate, temperature=2.0)
    rows = [row for item in statistics for row in measure(item, masks, resampler, "test")]
    return {(row.task, row.metric, row.subset, row.normaliser, row.threshold): row for row in rows}


def test_landmark_measures_equal_the_plain_metrics(faces, measured):
    answers, truth = faces
    for kind in ("inter_ocular", "inter_pupil", "box_diagonal"):
        lengths = metrics.normaliser_lengths(kind, truth.landmarks_NK2, truth.box_N4)
        errors = metrics.nme(answers.landmarks_NK2, truth.landmarks_NK2, lengths)
        for subset, part in (("all", errors), ("source=a", errors[:20])):
            row = measured["landmarks", "nme", subset, kind, None]
            assert row.value == pytest.approx(100 * metrics.mean_nme(part), abs=1e-5)
            assert row.n == (~np.isnan(part)).sum()
            if kind == "inter_ocular":
                fr, auc = (measured["landmarks", name, subset, kind, 0.08].value for name in ("fr", "auc"))
                assert fr == pytest.approx(100 * metrics.failure_rate(part, 0.08), abs=1e-5)
                assert auc == pytest.approx(100 * metrics.area_under_ced(part, 0.08), abs=1e-5)


def test_class_measures_equal_the_plain_metrics(faces, measured):
    answers, truth = faces
    predicted = answers.probabilities_NE.argmax(axis=1)
    for name in ("accuracy", "mean_class_accuracy", "macro_f1"):
        expected = 100 * getattr(metrics, name)(predicted, truth.expression_N)
        assert measured["expression", name, "all", None, None].value == pytest.approx(expected, abs=1e-5)
    scores = metrics.class_scores(metrics.confusion_matrix(predicted, truth.expression_N))
    for name, values in zip(("precision", "recall", "f1"), scores, strict=True):
        for place, label in enumerate(EXPRESSIONS[:6]):
            row = measured["expression", name, f"class={label}", None, None]
            assert row.value == pytest.approx(100 * values[place], abs=1e-5)
            assert row.n == (truth.expression_N == place).sum()
    assert measured["expression", "f1", "class=anger", None, None].value is None


def test_calibration_is_measured_with_the_temperature_and_without_it(faces, measured):
    answers, truth = faces
    calibrated, raw = answers.probabilities_NE, metrics.retemper(answers.probabilities_NE, 0.5)
    for suffix, probabilities in (("", raw), ("_calibrated", calibrated)):
        ece, nll = (measured["expression", f"{name}{suffix}", "all", None, None] for name in ("ece", "nll"))
        assert ece.value == pytest.approx(100 * metrics.ece(probabilities, truth.expression_N), abs=1e-5)
        assert nll.value == pytest.approx(np.nanmean(metrics.nll(probabilities, truth.expression_N)), abs=1e-5)
        assert ece.low is None
        assert nll.low < nll.value < nll.high


def test_slices_without_a_label_of_the_task_have_no_measure(measured):
    subsets = {(row.task, row.subset) for row in measured.values()}
    assert ("landmarks", "pose=|yaw|>30") not in subsets
    assert ("expression", "pose=|yaw|>30") in subsets
    assert ("landmarks", "class=fear") in subsets
    assert ("landmarks_base", "class=fear") not in subsets
    assert not any(task == "expression_votes" for task, _ in subsets)
    assert ("expression", "accuracy", "class=fear", None, None) not in measured


def test_all_19_points_count_unless_only_the_visible_are_asked_for(faces, config):
    answers, truth = faces
    every = face_errors(answers, truth, config.evaluate)["landmarks19", "box_side"]
    seen = face_errors(answers, truth, config.evaluate.model_copy(update={"visible_only": True}))
    half = NUMBER // 2
    distance = np.linalg.norm(answers.points19_NM2 - truth.points19_NM2, axis=2)[:half]
    np.testing.assert_allclose(every[:half], distance.mean(axis=1) / 100)
    visible = truth.visible19_NM[:half]
    np.testing.assert_allclose(
        seen["landmarks19", "box_side"][:half], (distance * visible).sum(1) / visible.sum(1) / 100
    )
    assert np.isnan(every[half:]).all()


def test_side_errors_are_sqrt_two_times_those_by_the_diagonal(measured):
    side, diagonal = (measured["landmarks19", "nme", "all", f"box_{kind}", None] for kind in ("side", "diagonal"))
    assert side.value == pytest.approx(np.sqrt(2) * diagonal.value, abs=1e-5)
