"""Out-of-fold class probabilities by kernel ridge regression, which a fifth of wrong labels does not mislead much.

A Gaussian kernel on each view, solved on a subset of regressors (Nystroem), so that the cost grows linearly with the
faces. Squared error averages wrong labels out where a margin would chase them.
"""

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from model.audit.features import Rows, View

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]

# Kernel width over the number of features, and ridge, by view: chosen among a few on planted flips of the sample.
_WIDTH = {"shape": 0.1, "change": 0.1, "texture": 0.3}
_RIDGE = {"shape": 2.0, "change": 2.0, "texture": 1.0}
_REGRESSORS = 3000
_SHARPNESS = 8.0
_JITTER = 1e-4
_PORTION = 4096


def fold_groups(groups: Sequence[str], folds: int, *, seed: int) -> Labels:
    """The fold of each face; faces of one group are always together."""
    names = sorted(set(groups))
    place = np.random.default_rng(seed).permutation(len(names)) % folds
    fold_of = dict(zip(names, place.tolist(), strict=True))
    return np.array([fold_of[group] for group in groups], dtype=np.int64)


def out_of_fold(views: Sequence[View], label_N: Labels, fold_N: Labels, *, classes: int, seed: int) -> Probabilities:
    """Probabilities (N, E) of each face by classifiers fitted on the other folds, views multiplied, then calibrated."""
    logits = np.zeros((len(label_N), classes))
    for fold in range(int(fold_N.max()) + 1):
        known, asked = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
        for view in views:
            scores = _predict(view, known, asked, label_N, classes=classes, seed=seed)
            logits[asked] += _log_softmax(_SHARPNESS * scores) / len(views)
    return _calibrated(logits, label_N)


def _predict(view: View, known: Labels, asked: Labels, label_N: Labels, *, classes: int, seed: int) -> Probabilities:
    """Scores (A, E) of the asked faces: the mean of face and mirror image."""
    rows = np.concatenate([view.plain_ND[known], view.mirrored_ND[known]])
    target = np.eye(classes)[np.tile(label_N[known], 2)] - 1 / classes
    chosen = np.random.default_rng(seed).permutation(len(rows))[:_REGRESSORS]
    basis = rows[chosen]
    width, ridge = _WIDTH[view.name] / rows.shape[1], _RIDGE[view.name]
    gram = ridge * _kernel(basis, basis, width)
    gram[np.diag_indices_from(gram)] += _JITTER * len(basis)
    right = np.zeros((len(basis), classes))
    for start in range(0, len(rows), _PORTION):
        part = _kernel(rows[start : start + _PORTION], basis, width)
        gram += part.T @ part
        right += part.T @ target[start : start + _PORTION]
    weights = scipy.linalg.solve(gram, right, assume_a="pos", overwrite_a=True)
    both = (_kernel(features[asked], basis, width) @ weights for features in (view.plain_ND, view.mirrored_ND))
    scores: Probabilities = sum(both) / 2
    return scores


def _kernel(one_AD: Rows, other_BD: Rows, width: float) -> Probabilities:
    """`exp(-width |a - b|^2)`."""
    squares = (one_AD**2).sum(axis=1)[:, None] + (other_BD**2).sum(axis=1)[None] - 2 * one_AD @ other_BD.T
    kernel: Probabilities = np.exp(-width * np.maximum(squares, 0).astype(np.float64))
    return kernel


def _log_softmax(scores_NE: Probabilities) -> Probabilities:
    shifted = scores_NE - scores_NE.max(axis=1, keepdims=True)
    result: Probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _calibrated(logits_NE: Probabilities, label_N: Labels) -> Probabilities:
    """Divide by the temperature that makes the given labels most probable."""
    rows = np.arange(len(label_N))

    def loss(sharpness: float) -> float:
        return -float(_log_softmax(sharpness * logits_NE)[rows, label_N].mean())

    best = minimize_scalar(loss, bounds=(0.05, 20.0), method="bounded").x
    probabilities: Probabilities = np.exp(_log_softmax(best * logits_NE))
    return probabilities
