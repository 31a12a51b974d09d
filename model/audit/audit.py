"""The audit as a function: faces with a label in, the suspected ones out, the most suspect first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.audit.classifier import Labels, Probabilities, fold_groups, out_of_fold
from model.audit.features import views_of
from model.config import AuditConfig
from model.errors import DataContractError
from model.net.inference import FaceNet
from model.schema import EXPRESSIONS, FaceRecord


@dataclass(frozen=True)
class Suspect:
    """A face whose label is probably wrong: `score` is the out-of-fold probability of its label, low is suspect."""

    row: str
    image: str
    label: str
    suggested: str
    score: float


@dataclass(frozen=True)
class AuditReport:
    """What the audit found.

    `accuracy` is that of the out-of-fold answers by the given labels: the weaker, the more good labels are suspected.
    `estimated` is cleanlab's estimate of the number of wrong labels, an upper one for weak answers; the surest
    `audit.flagged` of them are `suspects`. `pairs` counts suspects as `label -> suggested`.
    """

    data_digest: str
    labelled: int
    accuracy: float
    estimated: int
    landmarks: str
    pairs: dict[str, int]
    suspects: list[Suspect]


def audit_labels(
    config: AuditConfig, records: Sequence[FaceRecord], net: FaceNet | None, *, data: Path, data_digest: str, seed: int
) -> AuditReport:
    """Judge every expression label by classifiers fitted on faces of other persons.

    Args:
        records: validated faces; those without an expression take no part.
        net: finds the points; None to go by the face crops alone, which is weaker.

    Raises:
        DataContractError: fewer faces of a class, or fewer persons, than folds.
    """
    faces = [record for record in records if record.expression is not None]
    names = [name for name in EXPRESSIONS if any(face.expression == name for face in faces)]
    _check(config, faces, names)
    label_N = np.array([names.index(str(face.expression)) for face in faces], dtype=np.int64)
    views = views_of(faces, net, data=data, seed=seed)
    fold_N = fold_groups([face.group or face.record_id for face in faces], config.folds, seed=seed)
    probability_NE = out_of_fold(views, label_N, fold_N, classes=len(names), seed=seed)
    estimated, order = find_suspects(label_N, probability_NE, flagged=config.flagged)
    suspects = [_suspect(faces[row], names, probability_NE[row]) for row in order]
    pairs = Counter(f"{suspect.label} -> {suspect.suggested}" for suspect in suspects)
    return AuditReport(
        data_digest=data_digest,
        labelled=len(faces),
        accuracy=round(float((probability_NE.argmax(axis=1) == label_N).mean()), 4),
        estimated=estimated,
        landmarks="" if net is None else net.meta.weights_digest,
        pairs=dict(pairs.most_common()),
        suspects=suspects,
    )


def find_suspects(label_N: Labels, probability_NE: Probabilities, *, flagged: float) -> tuple[int, list[int]]:
    """The estimated number of wrong labels, and the rows of the surest share `flagged` of them, surest first.

    Confident learning (Northcutt, Jiang, Chuang 2021) by cleanlab, rows ranked by the probability of their own label.
    """
    from cleanlab.filter import find_label_issues

    found = find_label_issues(
        label_N, probability_NE, filter_by="low_self_confidence", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return len(found), [int(row) for row in found[: round(flagged * len(found))]]


def _check(config: AuditConfig, faces: Sequence[FaceRecord], names: Sequence[str]) -> None:
    counts = Counter(face.expression for face in faces)
    groups = len({face.group or face.record_id for face in faces})
    if len(names) < 2 or groups < config.folds or min(counts.values()) < config.folds:
        told = ", ".join(f"{name} {counts[name]}" for name in names) or "none"
        raise DataContractError(
            f"{len(faces)} faces with an expression ({told}) of {groups} persons or photos: an audit needs two classes "
            f"and at least audit.folds ({config.folds}) of each"
        )


def _suspect(face: FaceRecord, names: Sequence[str], probability_E: Probabilities) -> Suspect:
    label = names.index(str(face.expression))
    others = np.where(np.arange(len(names)) == label, -1.0, probability_E)
    score = round(float(probability_E[label]), 4)
    return Suspect(face.record_id, face.image, names[label], names[int(others.argmax())], score)
