"""From answers and truth to measures with intervals.

Every metric is a function of sums over faces, so a resample costs one row of a matrix product. Values are in percent,
negative log-likelihoods in nats.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.config import EvaluateConfig
from model.convention import Convention
from model.evaluation.answers import FaceAnswers, FaceTruth
from model.evaluation.bootstrap import Resampler
from model.evaluation.calibration import BINS, confidence_bins, ece_of, nll, retemper
from model.evaluation.expression import accuracy_of, class_scores, macro_f1_of, mean_class_accuracy_of
from model.evaluation.landmarks import Normaliser, headroom, nme, normaliser_lengths
from model.evaluation.simple import SimpleAnswers
from model.evaluation.slices import ALL
from model.schema import EXPRESSIONS, NO_LABEL, Measure

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]

DECIMALS = 6
# How the task of a convention begins; its name follows.
CONVENTION = "expression_as-"
# The first of each also has failure rates and areas.
NORMALISERS: tuple[Normaliser, ...] = ("inter_ocular", "inter_pupil", "box_diagonal")
NORMALISERS_19: tuple[Normaliser, ...] = ("box_diagonal", "box_side")
# Variants of a task that are there to compare with: measured on all faces and by source, not on every slice.
_BESIDE = ("_base", "_simple")
_CLASSES = len(EXPRESSIONS)


@dataclass(frozen=True)
class Column:
    """One value of a statistic; `subset` overrides the name of the slice, `percent` tells fractions from nats."""

    metric: str
    normaliser: str | None = None
    threshold: float | None = None
    subset: str | None = None
    percent: bool = True


@dataclass(frozen=True)
class Statistic:
    """Values that are functions of sums over faces.

    Attributes:
        terms_NC: what each face adds to the C sums.
        values: sums (..., C) to one value a column (last axis); NaN where there is none.
        numbers: sums (C) to the number of faces behind each column.
        covers: names of the slices on which this is measured.
        interval: whether to resample (not for a calibration error: its resamples are biased upwards).
    """

    task: str
    columns: Sequence[Column]
    terms_NC: Array
    values: Callable[[Array], Array]
    numbers: Callable[[Array], Array]
    covers: Callable[[str], bool]
    interval: bool = True


def face_errors(answers: FaceAnswers, truth: FaceTruth, config: EvaluateConfig) -> dict[tuple[str, Normaliser], Array]:
    """Error of each face by task and normaliser, a fraction; NaN where there is no truth."""
    errors: dict[tuple[str, Normaliser], Array] = {}
    for task, points_NK2 in (("landmarks", answers.landmarks_NK2), ("landmarks_base", answers.base_landmarks_NK2)):
        if points_NK2 is not None:
            for kind in NORMALISERS:
                lengths_N = normaliser_lengths(kind, truth.landmarks_NK2, truth.box_N4)
                errors[task, kind] = nme(points_NK2, truth.landmarks_NK2, lengths_N)
    if answers.points19_NM2 is not None:
        mask_NM = truth.visible19_NM if config.visible_only else None
        for kind in NORMALISERS_19:
            lengths_N = normaliser_lengths(kind, truth.points19_NM2, truth.box_N4)
            errors["landmarks19", kind] = nme(answers.points19_NM2, truth.points19_NM2, lengths_N, mask_NM)
    return errors


def all_statistics(
    answers: FaceAnswers,
    truth: FaceTruth,
    errors: Mapping[tuple[str, Normaliser], Array],
    *,
    config: EvaluateConfig,
    temperature: float,
) -> Iterator[Statistic]:
    """All that is measured of these answers.

    Args:
        errors: from `face_errors`.
        temperature: by which the class probabilities were calibrated.
    """
    for (task, kind), errors_N in errors.items():
        main = kind == (NORMALISERS_19 if task == "landmarks19" else NORMALISERS)[0]
        yield _landmark_statistic(task, kind, errors_N, config.thresholds if main else ())
    calibrated_NE, base_NE = answers.probabilities_NE, answers.base_probabilities_NE
    if calibrated_NE is None:
        return
    classes_N = calibrated_NE.argmax(axis=1)
    yield _class_statistic("expression", classes_N, truth.expression_N)
    yield _per_class_statistic(classes_N, truth.expression_N)
    for suffix, probabilities_NE in (("", retemper(calibrated_NE, 1 / temperature)), ("_calibrated", calibrated_NE)):
        yield _ece_statistic(suffix, probabilities_NE, truth.expression_N)
        yield _nll_statistic(suffix, probabilities_NE, truth.expression_N)
    if base_NE is not None:
        yield _class_statistic("expression_base", base_NE.argmax(axis=1), truth.expression_N)
    yield _class_statistic("expression_votes", classes_N, truth.votes_N)


def simple_statistics(simple: SimpleAnswers, truth: FaceTruth, config: EvaluateConfig) -> Iterator[Statistic]:
    """What the simple model reaches on the same faces, as the tasks `landmarks_simple` and `expression_simple`."""
    if simple.landmarks_NK2 is not None:
        lengths_N = normaliser_lengths(NORMALISERS[0], truth.landmarks_NK2, truth.box_N4)
        errors_N = nme(simple.landmarks_NK2, truth.landmarks_NK2, lengths_N)
        yield _landmark_statistic("landmarks_simple", NORMALISERS[0], errors_N, config.thresholds)
    if simple.classes_N is not None:
        yield _class_statistic("expression_simple", simple.classes_N, truth.expression_N)


def convention_statistics(
    answers: FaceAnswers, truth: FaceTruth, conventions: Mapping[str, Convention]
) -> Iterator[Statistic]:
    """Each convention's answers against the kind of label that it speaks, as task `CONVENTION`<name>."""
    if answers.probabilities_NE is None:
        return
    for name, convention in conventions.items():
        true_N = truth.expression_N if convention.speaks == "labels" else truth.votes_N
        classes_N = convention.translate(answers.probabilities_NE).argmax(axis=1)
        yield _class_statistic(f"{CONVENTION}{name}", classes_N, true_N)


def measure(statistic: Statistic, masks: Mapping[str, Mask], resampler: Resampler, split: str) -> Iterator[Measure]:
    """A measure for each column on each slice that holds a scored face; a class without a face has no value."""
    for name, mask_N in masks.items():
        sums_C = statistic.terms_NC[mask_N].sum(axis=0)
        numbers = statistic.numbers(sums_C)
        if not statistic.covers(name) or not numbers.any():
            continue
        value = statistic.values(sums_C)
        low = high = np.full(len(value), np.nan)
        if statistic.interval:
            low, high = resampler.interval(statistic.terms_NC, statistic.values, mask_N)
        for place, column in enumerate(statistic.columns):
            yield Measure(
                split=split,
                task=statistic.task,
                metric=column.metric,
                subset=column.subset or name,
                value=_rounded(value[place], column.percent),
                low=_rounded(low[place], column.percent),
                high=_rounded(high[place], column.percent),
                n=int(numbers[place]),
                normaliser=column.normaliser,
                threshold=column.threshold,
            )


def _landmark_statistic(task: str, kind: Normaliser, errors_N: Array, thresholds: Sequence[float]) -> Statistic:
    """Mean error on every slice; failure rates and areas beside it."""
    known_N = ~np.isnan(errors_N)
    filled_N = np.where(known_N, errors_N, 0.0)
    columns, terms = [Column("nme", kind)], [known_N, filled_N]
    for threshold in thresholds:
        columns += [Column("fr", kind, threshold), Column("auc", kind, threshold)]
        terms += [known_N & (filled_N > threshold), known_N * headroom(filled_N, threshold)]
    beside = task.endswith(_BESIDE)
    return _mean_statistic(task, columns, np.stack(terms, axis=1), covers=_broad if beside else _any_slice)


def _class_statistic(task: str, predicted_N: Labels, true_N: Labels) -> Statistic:
    """Accuracy and its class-averaged kin; on a slice of one class they would say nothing."""

    def values(sums_C: Array) -> Array:
        confusion = _confusion(sums_C)
        return np.stack([accuracy_of(confusion), mean_class_accuracy_of(confusion), macro_f1_of(confusion)], axis=-1)

    return Statistic(
        task=task,
        columns=[Column("accuracy"), Column("mean_class_accuracy"), Column("macro_f1")],
        terms_NC=_confusion_terms(predicted_N, true_N),
        values=values,
        numbers=lambda sums_C: np.full(3, sums_C.sum()),
        covers=_broad if task.endswith(_BESIDE) else _not_class,
    )


def _per_class_statistic(predicted_N: Labels, true_N: Labels) -> Statistic:
    metrics = ("precision", "recall", "f1")
    return Statistic(
        task="expression",
        columns=[Column(metric, subset=f"class={name}") for metric in metrics for name in EXPRESSIONS],
        terms_NC=_confusion_terms(predicted_N, true_N),
        values=lambda sums_C: np.concatenate(class_scores(_confusion(sums_C)), axis=-1),
        numbers=lambda sums_C: np.tile(_confusion(sums_C).sum(axis=-1), len(metrics)),
        covers=lambda name: name == ALL,
    )


def _ece_statistic(suffix: str, probabilities_NE: Array, true_N: Labels) -> Statistic:
    terms_N3B = confidence_bins(probabilities_NE, true_N)
    return Statistic(
        task="expression",
        columns=[Column(f"ece{suffix}")],
        terms_NC=terms_N3B.reshape(len(true_N), 3 * BINS),
        values=lambda sums_C: np.array([ece_of(sums_C.reshape(3, BINS))]),
        numbers=lambda sums_C: sums_C[:BINS].sum(keepdims=True),
        covers=_broad,
        interval=False,
    )


def _nll_statistic(suffix: str, probabilities_NE: Array, true_N: Labels) -> Statistic:
    losses_N = nll(probabilities_NE, true_N)
    known_N = ~np.isnan(losses_N)
    terms_NC = np.stack([known_N, np.where(known_N, losses_N, 0.0)], axis=1)
    return _mean_statistic("expression", [Column(f"nll{suffix}", percent=False)], terms_NC, covers=_broad)


def _mean_statistic(
    task: str, columns: Sequence[Column], terms_NC: Array, *, covers: Callable[[str], bool]
) -> Statistic:
    """Means over the faces that the first term counts, of the terms behind it."""
    return Statistic(
        task=task,
        columns=columns,
        terms_NC=terms_NC.astype(float),
        values=lambda sums_C: sums_C[..., 1:] / np.where(sums_C[..., :1] > 0, sums_C[..., :1], np.nan),
        numbers=lambda sums_C: np.full(len(columns), sums_C[0]),
        covers=covers,
    )


def _confusion_terms(predicted_N: Labels, true_N: Labels) -> Array:
    known_N = true_N != NO_LABEL
    cells_N = np.where(known_N, true_N, 0) * _CLASSES + predicted_N
    return np.asarray((np.arange(_CLASSES**2) == cells_N[:, None]) & known_N[:, None], float)


def _confusion(sums_C: Array) -> Array:
    return sums_C.reshape(*sums_C.shape[:-1], _CLASSES, _CLASSES)


def _any_slice(_: str) -> bool:
    return True


def _broad(name: str) -> bool:
    return name == ALL or name.startswith("source=")


def _not_class(name: str) -> bool:
    return not name.startswith("class=")


def _rounded(value: float, percent: bool) -> float | None:
    """Rounded so that the order of a sum does not show in the report."""
    return None if np.isnan(value) else round(float(value) * (100.0 if percent else 1.0), DECIMALS)
