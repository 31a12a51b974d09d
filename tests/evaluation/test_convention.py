"""Answers translated into the habit of another benchmark's annotators."""

import numpy as np
import pytest
from pydantic import ValidationError

from model.convention import Convention
from model.evaluation.answers import FaceAnswers, FaceTruth
from model.evaluation.bootstrap import Resampler
from model.evaluation.calibration import fit_convention, nll
from model.evaluation.measures import convention_statistics, measure
from model.schema import NO_LABEL
from tests.conventions import IDENTITY, rolled


def test_the_identity_changes_nothing_and_certain_answers_stay_distributions() -> None:
    certain = np.vstack([np.eye(7), np.random.default_rng(0).dirichlet(np.ones(7), 20)])
    assert np.allclose(IDENTITY.translate(certain), certain, atol=1e-9)
    assert np.allclose(rolled(1).translate(certain), np.roll(certain, 1, axis=1), atol=1e-9)
    assert np.allclose(rolled(3, bias=2.0).translate(certain).sum(axis=1), 1)


@pytest.mark.parametrize("wrong", [{"weight": IDENTITY.weight[:6]}, {"bias": (np.nan,) * 7}, {"speaks": "poems"}])
def test_anything_but_seven_finite_rows_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Convention.model_validate(IDENTITY.model_dump() | wrong)


def test_a_fit_undoes_a_habit_on_faces_that_it_has_not_seen() -> None:
    """Annotators who call two thirds of one class by another name are followed."""
    rng = np.random.default_rng(1)
    answered = rng.dirichlet(np.full(7, 0.3), 4000)
    named = np.array([rng.choice(7, p=row) for row in answered])
    habit = np.where((named == 0) & (rng.random(4000) < 2 / 3), 2, named)
    fitted = fit_convention(answered[:2000], np.eye(7)[habit[:2000]], "labels")
    translated = fitted.translate(answered[2000:])
    assert nll(translated, habit[2000:]).mean() < nll(answered[2000:], habit[2000:]).mean() - 0.05
    assert (translated.argmax(axis=1) == habit[2000:]).mean() > (answered[2000:].argmax(axis=1) == habit[2000:]).mean()


def test_classes_without_a_face_are_not_told_apart_anew() -> None:
    """The pull to the identity keeps their order where nothing speaks against it."""
    answered = np.random.default_rng(2).dirichlet(np.ones(7), 50)
    fitted = fit_convention(answered, np.eye(7)[np.arange(50) % 2], "labels")
    translated = fitted.translate(np.eye(7))
    assert np.isfinite(translated).all()
    assert (translated[2:, 2:].argmax(axis=1) == np.arange(5)).all()


def test_each_convention_is_measured_against_the_labels_that_it_speaks() -> None:
    rng = np.random.default_rng(3)
    answered, label_N = rng.dirichlet(np.ones(7), 40), rng.integers(0, 7, 40)
    votes_N = np.where(np.arange(40) % 3 == 0, NO_LABEL, rng.integers(0, 7, 40))
    nothing = np.full((40, 68, 2), np.nan)
    truth = FaceTruth(np.zeros((40, 4)), nothing, nothing[:, :19], np.zeros((40, 19), bool), label_N, votes_N)
    answers = FaceAnswers(None, None, answered, None, None, None)
    conventions = {"first": rolled(1), "second": rolled(2, speaks="votes")}
    resampler = Resampler(range(40), resamples=10, seed=0, level=0.95)
    rows = [
        row
        for statistic in convention_statistics(answers, truth, conventions)
        for row in measure(statistic, {"all": np.ones(40, bool)}, resampler, "test")
    ]
    found = {row.task: (row.value, row.n) for row in rows if row.metric == "accuracy"}
    classes_N, known_N = answered.argmax(axis=1), votes_N != NO_LABEL
    expected = (((classes_N + 2) % 7 == votes_N)[known_N].mean(), known_N.sum())
    assert found["expression_as-first"] == (pytest.approx(100 * ((classes_N + 1) % 7 == label_N).mean()), 40)
    assert found["expression_as-second"] == (pytest.approx(100 * expected[0]), expected[1])
    assert not list(convention_statistics(FaceAnswers(*[None] * 6), truth, conventions))
