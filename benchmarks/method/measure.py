"""Trained weights on the test faces: final answers, those before the exchange, and those of mismatched donors."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.data.codec import Pixels, decode_points
from model.data.transforms import crop_face
from model.errors import CheckpointError
from model.evaluation import metrics
from model.evaluation.answers import FaceTruth, answer_both, face_box, open_picture, read_truth
from model.net.inference import Answers, FaceNet
from model.net.multitask import MultiTaskNet
from model.schema import FaceOutput, FaceRecord

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BATCH = 64
_SEED = 0
_DECIMALS = 4


@dataclass(frozen=True)
class Spoken:
    """One kind of answer about N faces, None without the task: points in the picture, calibrated class shares."""

    landmarks_NK2: Array | None
    shares_NE: Array | None


@dataclass(frozen=True)
class Heard:
    """Answers by kind: `final`, and where the network exchanges `base`; where between the tasks, `permuted` too."""

    net: FaceNet
    truth: FaceTruth
    kinds: dict[str, Spoken]

    def errors(self, kind: str = "final") -> Array | None:
        """NME of each face by inter-ocular distance, a fraction."""
        points = self.kinds[kind].landmarks_NK2
        if points is None:
            return None
        truth = self.truth.landmarks_NK2
        return metrics.nme(points, truth, metrics.normaliser_lengths("inter_ocular", truth))

    def classes(self, kind: str = "final") -> Ints | None:
        """The class that each face is given."""
        shares = self.kinds[kind].shares_NE
        return None if shares is None else shares.argmax(axis=1)

    def summary(self, kind: str) -> dict[str, float | list[float]]:
        """Metrics in percent; AUC in percent of the area; `recall` in the order of the classes."""
        values: dict[str, float | list[float]] = {}
        errors = self.errors(kind)
        if errors is not None:
            values |= {"nme": _percent(metrics.mean_nme(errors)), "fr_8": _percent(metrics.failure_rate(errors, 0.08))}
            values["auc_8"] = _percent(metrics.area_under_ced(errors, 0.08))
        classes, shares, label_N = self.classes(kind), self.kinds[kind].shares_NE, self.truth.expression_N
        if classes is not None and shares is not None:
            _, recall, _ = metrics.class_scores(metrics.confusion_matrix(classes, label_N))
            plain = metrics.retemper(shares, 1 / self.net.meta.temperature)
            values |= {
                "accuracy": _percent(metrics.accuracy(classes, label_N)),
                "macro_f1": _percent(metrics.macro_f1(classes, label_N)),
                "ece": _percent(metrics.ece(plain, label_N)),
                "ece_calibrated": _percent(metrics.ece(shares, label_N)),
                "recall": [round(100 * float(value), 2) for value in np.nan_to_num(recall)],
            }
        return values


class _Neighbour(nn.Module):
    """Each face listens to the one before it in the batch; the first to the last."""

    def __init__(self, net: MultiTaskNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image_BCHW: Tensor) -> FaceOutput:
        """The final answers, with the neighbour's other task as donor."""
        donors_B = torch.arange(len(image_BCHW), device=image_BCHW.device).roll(1)
        return self.net.answer(image_BCHW, donors_B)[0]


def hear(weights: Path, records: Sequence[FaceRecord], *, data: Path) -> Heard:
    """Every kind of answer of the weights in a folder, on the road that evaluation takes from picture to crop.

    Raises:
        CheckpointError: the weights cannot be loaded, or an answer is not finite.
        DataContractError: a picture is not the one that was indexed.
    """
    net = FaceNet.load(weights)
    asked: list[Ints] = []
    parts: dict[str, list[Spoken]] = defaultdict(list)
    with tqdm(total=len(records), unit="face", desc="measure", disable=None) as bar:
        for rows in mixed_batches(records):
            crops, matrices = _crops(net, [records[row] for row in rows.tolist()], data)
            for kind, answers in _answers(net, crops).items():
                parts[kind].append(_in_picture(answers, matrices))
            asked.append(rows)
            bar.update(len(rows))
    place_N = np.argsort(np.concatenate(asked))
    kinds = {
        kind: Spoken(
            _joined([item.landmarks_NK2 for item in items], place_N), _joined([i.shares_NE for i in items], place_N)
        )
        for kind, items in parts.items()
    }
    return Heard(net, read_truth(records), kinds)


def mixed_batches(records: Sequence[FaceRecord]) -> Iterator[Ints]:
    """Rows of batches that hold one kind of picture each, in an order that no subject or class decides.

    A kind is a size, and what has a size of its own is one kind a source. Batches of a kind are equally large to within
    one face, so that only a face alone of its kind has no neighbour.
    """
    sizes = Counter((record.source, record.width, record.height) for record in records)
    kinds: dict[tuple[str | int | None, ...], list[int]] = {}
    for row, record in enumerate(records):
        size = (record.source, record.width, record.height)
        kinds.setdefault(size if sizes[size] > 1 else size[:1], []).append(row)
    generator = np.random.default_rng(_SEED)
    for rows in kinds.values():
        shuffled = generator.permutation(np.array(rows, dtype=np.int64))
        yield from np.array_split(shuffled, -(-len(rows) // _BATCH))


def _answers(net: FaceNet, crops_BHWC: Pixels) -> dict[str, Answers]:
    final, base = answer_both(net, crops_BHWC)
    found = {"final": final}
    if base is not None:
        found["base"] = base
        if net.net.config.residual.kind == "cross":
            probe = FaceNet(cast(MultiTaskNet, _Neighbour(net.net)), net.meta, net.device)
            found["permuted"] = probe.answer(crops_BHWC)
    return found


def _in_picture(answers: Answers, matrices: Sequence[Array]) -> Spoken:
    points = answers.points_BK2
    if points is not None:
        points = np.stack([decode_points(face, matrix) for face, matrix in zip(points, matrices, strict=True)])
    for values in (points, answers.probabilities_BE):
        if values is not None and not np.isfinite(values).all():
            raise CheckpointError("an answer is not finite: train again")
    return Spoken(points, answers.probabilities_BE)


def _joined(parts: Sequence[Array | None], place_N: Ints) -> Array | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present)[place_N] if present else None


def _crops(net: FaceNet, records: Sequence[FaceRecord], data: Path) -> tuple[Pixels, list[Array]]:
    size, scale = net.meta.net.input_size, net.meta.net.crop_scale
    cut = [crop_face(open_picture(record, data), face_box(record), size=size, crop_scale=scale) for record in records]
    return np.stack([crop for crop, _ in cut]), [matrix for _, matrix in cut]


def _percent(fraction: float) -> float:
    return round(100 * fraction, _DECIMALS)
