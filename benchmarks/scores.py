"""The few numbers by which answers are compared, with intervals, as evaluation measures them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from model.config import EvaluateConfig
from model.evaluation.answers import Array, FaceAnswers, read_truth
from model.evaluation.bootstrap import Resampler
from model.evaluation.landmarks import Normaliser
from model.evaluation.measures import Mask, Statistic, all_statistics, face_errors, measure
from model.schema import EXPRESSIONS, LANDMARKS, FaceRecord, Measure

FAILURE = 8
"""Percent of the distance between the outer eye corners above which the points of a face count as failed."""
_NORMALISER: Normaliser = "inter_ocular"
_NAMES = {"expression": "", "expression_votes": "_votes"}
_FOUND = "found"


def score(
    records: Sequence[FaceRecord], answers: Sequence[Mapping[str, Any] | None], config: EvaluateConfig, *, seed: int
) -> dict[str, Any]:
    """Error of the points, accuracy and macro-F1 by label and by the majority of votes, each where there is truth.

    Args:
        answers: faces as the predictor answers them; None for a face that it missed, which counts as a failure (FR)
            and nowhere else.

    Returns:
        `misses`, and by name `value`, `low`, `high` (percent) and `n`.
    """
    found_N = np.array([answer is not None for answer in answers])
    given, truth = _arrays(answers), read_truth(records)
    errors = face_errors(given, truth, config)
    resampler = Resampler.of_faces(records, config, seed=seed)
    result: dict[str, Any] = {"misses": int((~found_N).sum())}
    for statistic in all_statistics(given, truth, errors, config=config, temperature=1.0):
        if _wanted(statistic):
            result |= _values(measure(statistic, {_FOUND: found_N}, resampler, config.split))
    if "nme" in result:
        result["fr_8"] = _failures(errors["landmarks", _NORMALISER], found_N)
    return result


def _wanted(statistic: Statistic) -> bool:
    first = statistic.columns[0]
    if first.metric == "nme":
        return statistic.task == "landmarks" and first.normaliser == _NORMALISER
    return statistic.task in _NAMES and first.metric == "accuracy"


def _values(measures: Iterator[Measure]) -> dict[str, Any]:
    kept = [row for row in measures if row.metric in ("nme", "accuracy", "macro_f1")]
    return {
        f"{row.metric}{_NAMES.get(row.task, '')}": {"value": row.value, "low": row.low, "high": row.high, "n": row.n}
        for row in kept
    }


def _failures(errors_N: Array, found_N: Mask) -> dict[str, Any]:
    asked_N = ~np.isnan(errors_N)
    failed_N = asked_N & (~found_N | (errors_N > FAILURE / 100))
    value = round(100 * float(failed_N.sum() / asked_N.sum()), 6)
    return {"value": value, "low": None, "high": None, "n": int(asked_N.sum())}


def _arrays(answers: Sequence[Mapping[str, Any] | None]) -> FaceAnswers:
    """Answers as evaluation holds them; zeros stand in for a missed face."""
    number = len(answers)
    points, shares = np.zeros((number, LANDMARKS, 2)), np.zeros((number, len(EXPRESSIONS)))
    for row, answer in enumerate(answers):
        if answer is not None:
            points[row] = answer["landmarks"]
            shares[row] = [answer["expression"][name] for name in EXPRESSIONS]
    return FaceAnswers(
        landmarks_NK2=points,
        confidence_NK=None,
        probabilities_NE=shares,
        points19_NM2=None,
        base_landmarks_NK2=None,
        base_probabilities_NE=None,
    )
