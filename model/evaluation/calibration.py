"""How far confidence is from accuracy, the one temperature that brings them together, and translated answers."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from model.convention import Convention, log_probabilities
from model.schema import NO_LABEL

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

BINS = 15
_TEMPERATURES = (0.05, 20.0)
# What a squared unit of distance from the identity costs in nats, and the digits that a fitted number keeps.
_PULL = 1e-3
_DECIMALS = 6


def confidence_bins(probabilities_NE: Array, true_N: Labels, bins: int = BINS) -> Array:
    """Each face's place in the reliability diagram: N x 3 x bins of (is in the bin, confidence, is right).

    Bins are of equal width over 0..1, closed above. Faces without a label are in no bin.
    """
    confidence_N = probabilities_NE.max(axis=1, initial=0.0)
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    place_NB = (np.arange(bins) == bin_N[:, None]) & (true_N != NO_LABEL)[:, None]
    right_N = probabilities_NE.argmax(axis=1) == true_N if len(true_N) else np.zeros(0, bool)
    return np.stack([place_NB, place_NB * confidence_N[:, None], place_NB * right_N[:, None]], axis=1).astype(float)


def ece_of(totals_3B: Array) -> float:
    """Expected calibration error from sums of `confidence_bins` over faces: sum |confidence - right| / faces."""
    number = totals_3B[0].sum()
    return float(np.abs(totals_3B[1] - totals_3B[2]).sum() / number) if number > 0 else float("nan")


def ece(probabilities_NE: Array, true_N: Labels, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal width, a fraction; NaN for no labelled face.

    ECE = sum over bins of (faces in the bin / faces) * |mean confidence - accuracy|.
    """
    return ece_of(confidence_bins(probabilities_NE, true_N, bins).sum(axis=0))


def nll(probabilities_NE: Array, true_N: Labels) -> Array:
    """Negative log-likelihood of each face's true class in nats; NaN without a label."""
    known_N = true_N != NO_LABEL
    chosen_N = probabilities_NE[np.arange(len(true_N)), np.where(known_N, true_N, 0)]
    return np.where(known_N, -log_probabilities(chosen_N), np.nan)


def fit_temperature(logits_NE: Array, true_N: Labels) -> float:
    """Temperature T that minimises the mean NLL of softmax(logits / T), between 0.05 and 20; 1 for no labelled face.

    Fit on held-out faces, never on those the network learnt from.
    """
    known_N = true_N != NO_LABEL
    logits, labels = np.asarray(logits_NE, float)[known_N], true_N[known_N]
    if not labels.size:
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(labels.size), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded").x))


def fit_convention(probabilities_NE: Array, targets_NE: Array, speaks: Literal["labels", "votes"]) -> Convention:
    """The convention whose answers have the smallest mean cross-entropy to `targets_NE` (rows are distributions).

    The distance from the identity is penalised, so that a class of few faces keeps its answer. Fit on held-out faces,
    never on those the network learnt from.
    """
    logs_NE, classes = log_probabilities(probabilities_NE), targets_NE.shape[1]
    identity = np.hstack([np.eye(classes), np.zeros((classes, 1))])
    inputs_NF = np.hstack([logs_NE, np.ones((len(logs_NE), 1))])

    def loss(flat: Array) -> tuple[float, Array]:
        factors_EF = flat.reshape(identity.shape)
        logs = log_softmax(inputs_NF @ factors_EF.T, axis=1)
        away = factors_EF - identity
        gradient_EF = (np.exp(logs) - targets_NE).T @ inputs_NF / len(inputs_NF) + 2 * _PULL * away
        return float(-(targets_NE * logs).sum(axis=1).mean() + _PULL * (away**2).sum()), gradient_EF.ravel()

    found = minimize(loss, identity.ravel(), jac=True, method="L-BFGS-B").x.reshape(identity.shape).round(_DECIMALS)
    return Convention(speaks=speaks, weight=found[:, :-1].tolist(), bias=found[:, -1].tolist())


def retemper(probabilities_NE: Array, temperature: float) -> Array:
    """softmax(log p / temperature): a further temperature on probabilities.

    `retemper(softmax(x / T), 1 / T)` is `softmax(x)`, which undoes a calibration.
    """
    with np.errstate(over="ignore"):
        logits_NE = log_probabilities(probabilities_NE)
    return np.asarray(np.exp(log_softmax(logits_NE / temperature, axis=1)))
