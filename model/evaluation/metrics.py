"""All metrics under one name: pure functions of arrays, fractions from 0 to 1, NaN for an empty set.

Landmark errors live in `landmarks`, classification in `expression`, confidence in `calibration`, intervals in
`bootstrap`; reports turn fractions into percent.
"""

from model.evaluation.bootstrap import Resampler
from model.evaluation.calibration import ece, fit_temperature, nll, retemper
from model.evaluation.expression import (
    accuracy,
    class_scores,
    confusion_matrix,
    macro_f1,
    majority_label,
    mean_class_accuracy,
)
from model.evaluation.landmarks import (
    area_under_ced,
    cumulative_errors,
    failure_rate,
    mean_nme,
    nme,
    normaliser_lengths,
)

__all__ = [
    "Resampler",
    "accuracy",
    "area_under_ced",
    "class_scores",
    "confusion_matrix",
    "cumulative_errors",
    "ece",
    "failure_rate",
    "fit_temperature",
    "macro_f1",
    "majority_label",
    "mean_class_accuracy",
    "mean_nme",
    "nll",
    "nme",
    "normaliser_lengths",
    "retemper",
]
