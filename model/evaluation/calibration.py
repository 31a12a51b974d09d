"""How far confidence is from accuracy, and the one temperature that brings them together."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from model.schema import NO_LABEL

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

BINS = 15
_TEMPERATURES = (0.05, 20.0)
# Smallest probability whose logarithm is taken: float32 answers may hold exact zeros.
_TINY = 1e-12


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
    return np.where(known_N, -np.log(np.maximum(chosen_N, _TINY)), np.nan)


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


def retemper(probabilities_NE: Array, temperature: float) -> Array:
    """softmax(log p / temperature): a further temperature on probabilities.

    `retemper(softmax(x / T), 1 / T)` is `softmax(x)`, which undoes a calibration.
    """
    with np.errstate(over="ignore"):
        logits_NE = np.log(np.maximum(np.asarray(probabilities_NE, float), _TINY))
    return np.asarray(np.exp(log_softmax(logits_NE / temperature, axis=1)))
