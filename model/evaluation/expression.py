"""Classification metrics over class numbers; a label of `NO_LABEL` (-1) leaves the face out.

All values are fractions from 0 to 1, and NaN where no face has a label. A class that no labelled face has counts
nowhere: not in the mean class accuracy, not in macro-F1.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.schema import EXPRESSIONS, NO_LABEL, VOTES

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def confusion_matrix(predicted_N: Labels, true_N: Labels, classes: int = len(EXPRESSIONS)) -> Labels:
    """Counts by true class (row) and predicted class (column)."""
    known_N = true_N != NO_LABEL
    cells = true_N[known_N] * classes + predicted_N[known_N]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(predicted_N: Labels, true_N: Labels) -> float:
    """Share of labelled faces whose class is right."""
    known_N = true_N != NO_LABEL
    return float((predicted_N == true_N)[known_N].mean()) if known_N.any() else float("nan")


def mean_class_accuracy(predicted_N: Labels, true_N: Labels, classes: int = len(EXPRESSIONS)) -> float:
    """Mean of the recalls of the classes that occur: the balanced accuracy."""
    return float(mean_class_accuracy_of(confusion_matrix(predicted_N, true_N, classes)))


def macro_f1(predicted_N: Labels, true_N: Labels, classes: int = len(EXPRESSIONS)) -> float:
    """Mean F1 of the classes that occur among the labels."""
    return float(macro_f1_of(confusion_matrix(predicted_N, true_N, classes)))


def accuracy_of(confusion_xEE: npt.NDArray[np.generic]) -> Array:
    """Accuracy of each confusion matrix; leading axes are kept. NaN for an empty matrix."""
    counts = np.asarray(confusion_xEE, float)
    return _ratio(np.einsum("...ii->...", counts), counts.sum(axis=(-2, -1)))


def mean_class_accuracy_of(confusion_xEE: npt.NDArray[np.generic]) -> Array:
    """Mean recall over the classes with a row that is not empty; leading axes are kept."""
    _, recall, _ = class_scores(confusion_xEE)
    return _mean_of_known(recall)


def macro_f1_of(confusion_xEE: npt.NDArray[np.generic]) -> Array:
    """Mean F1 over the classes with a row that is not empty; leading axes are kept."""
    _, _, f1 = class_scores(confusion_xEE)
    return _mean_of_known(f1)


def class_scores(confusion_xEE: npt.NDArray[np.generic]) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 of each class.

    NaN for a class without a true face; the precision of a class that occurs but is never predicted is 0.
    """
    counts = np.asarray(confusion_xEE, float)
    hits = np.einsum("...ii->...i", counts)
    support, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    occurs = support > 0
    precision = np.where(occurs, hits / np.maximum(predicted, 1.0), np.nan)
    return precision, _ratio(hits, support), np.where(occurs, 2 * hits / np.maximum(support + predicted, 1.0), np.nan)


def majority_label(votes: Sequence[int] | None) -> int:
    """Class of a FER+ vote by the majority rule, or `NO_LABEL`.

    Counts of 1 become 0; the top count must be more than half of what is left and belong to one of our 7 names.

    Args:
        votes: counts in the order of `VOTES`; None where the picture has none.
    """
    if votes is None:
        return NO_LABEL
    counts = np.where(np.asarray(votes) > 1, votes, 0)
    top = int(counts.argmax())
    return top if 2 * counts[top] > counts.sum() and VOTES[top] in EXPRESSIONS else NO_LABEL


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)


def _mean_of_known(values_xE: Array) -> Array:
    known = ~np.isnan(values_xE)
    return _ratio(np.where(known, values_xE, 0.0).sum(axis=-1), known.sum(axis=-1).astype(float))
