"""Faces of the manifest through the network, on the road that the predictor takes, and their truth as arrays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from tqdm import tqdm

from model.data.codec import Pixels, decode_image, decode_points
from model.data.transforms import crop_face
from model.errors import CheckpointError, DataContractError
from model.evaluation.expression import majority_label
from model.net.inference import Answers, FaceNet
from model.net.multitask import MultiTaskNet
from model.schema import EXPRESSIONS, LANDMARKS, LANDMARKS_19, NO_LABEL, Box, FaceOutput, FaceRecord
from model.storage import digest_bytes, read_bytes

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FaceAnswers:
    """What the network says of N faces, points in picture coordinates; None for a task that it does not have.

    `probabilities_NE` carry the calibration of the weights. The base answer is that before the residual exchange; a
    network without one has none.
    """

    landmarks_NK2: Array | None
    confidence_NK: Array | None
    probabilities_NE: Array | None
    points19_NM2: Array | None
    base_landmarks_NK2: Array | None
    base_probabilities_NE: Array | None


class FaceTruth(NamedTuple):
    """Labels of N faces in picture coordinates: NaN for an unknown point, `NO_LABEL` for an unknown class.

    `votes_N` is the class by the majority of FER+ votes. A face without a box is its whole picture.
    """

    box_N4: Array
    landmarks_NK2: Array
    points19_NM2: Array
    visible19_NM: Mask
    expression_N: Labels
    votes_N: Labels


def read_truth(records: Sequence[FaceRecord]) -> FaceTruth:
    """The labels of the records as arrays."""
    landmarks, points19 = (np.full((len(records), number, 2), np.nan) for number in (LANDMARKS, LANDMARKS_19))
    visible19 = np.zeros((len(records), LANDMARKS_19), bool)
    for row, record in enumerate(records):
        if record.points is not None:
            landmarks[row] = np.reshape(record.points, (LANDMARKS, 2))
            if record.points_mask is not None:
                landmarks[row][~np.array(record.points_mask)] = np.nan
        if record.points19 is not None:
            points19[row] = np.reshape(record.points19, (LANDMARKS_19, 2))
            visible19[row] = True if record.points19_mask is None else record.points19_mask
    classes = [EXPRESSIONS.index(item.expression) if item.expression in EXPRESSIONS else NO_LABEL for item in records]
    return FaceTruth(
        box_N4=np.array([face_box(record) for record in records]).reshape(-1, 4),
        landmarks_NK2=landmarks,
        points19_NM2=points19,
        visible19_NM=visible19,
        expression_N=np.array(classes, dtype=np.int64),
        votes_N=np.array([majority_label(record.votes) for record in records], dtype=np.int64),
    )


def face_box(record: FaceRecord) -> Box:
    """The box by which the face is cut: the given one, else the whole picture.

    Raises:
        DataContractError: neither box nor size of the picture is known.
    """
    if record.box is not None:
        x0, y0, x1, y1 = record.box
        return x0, y0, x1, y1
    if record.width is None or record.height is None:
        raise DataContractError(
            f"record {record.record_id} ({record.image}): no box and no size; run `rmtl index` again"
        )
    return 0.0, 0.0, record.width - 1.0, record.height - 1.0


def open_picture(record: FaceRecord, data: Path) -> Pixels:
    """Upright pixels of the record's picture, HWC uint8 RGB.

    Raises:
        DataContractError: the bytes are not those that were indexed, or are no picture.
    """
    content = read_bytes(record.image, data)
    if record.sha256 is not None and digest_bytes(content) != record.sha256:
        raise DataContractError(f"{record.image}: bytes have changed since `rmtl index`; run it again")
    # The size was bounded when the record was validated; a picture of unknown size is bounded by its bytes instead.
    pixels = (record.width or 0) * (record.height or 0)
    return decode_image(content, max_pixels=pixels or 64 * len(content))


def answer_faces(net: FaceNet, records: Sequence[FaceRecord], *, data: Path, batch_size: int) -> FaceAnswers:
    """Answers of `net` on every record, in order.

    Raises:
        DataContractError: a picture that cannot be opened as it was indexed.
        CheckpointError: an answer that is not finite.
    """
    parts = []
    with tqdm(total=len(records), unit="face", desc="evaluate", disable=None) as bar:
        for batch in _batches(records, batch_size):
            parts.append(_answer_batch(net, batch, data=data))
            bar.update(len(batch))
    return FaceAnswers(
        **{item.name: _joined([getattr(part, item.name) for part in parts]) for item in fields(FaceAnswers)}
    )


def answer_both(net: FaceNet, crops_BHWC: Pixels) -> tuple[Answers, Answers | None]:
    """The answers of `net`, and those before the exchange from the same pass; None where there is no exchange."""
    if net.net.exchange is None:
        return net.answer(crops_BHWC), None
    seen: list[FaceOutput] = []
    hook = net.net.register_forward_hook(lambda _net, _inputs, output: seen.append(output))
    try:
        final = net.answer(crops_BHWC)
    finally:
        hook.remove()
    base = FaceNet(cast(MultiTaskNet, _BaseReplay(seen)), net.meta, net.device)
    return final, base.answer(crops_BHWC)


class _BaseReplay(nn.Module):
    """Repeats outputs in their order, each with the base answer in the place of the final one."""

    def __init__(self, outputs: Iterable[FaceOutput]) -> None:
        super().__init__()
        self.outputs = iter(outputs)

    def forward(self, _: Tensor) -> FaceOutput:
        output = next(self.outputs)
        return output._replace(landmarks_BK2=output.landmarks_base_BK2, logits_BE=output.logits_base_BE)


def _answer_batch(net: FaceNet, records: Sequence[FaceRecord], *, data: Path) -> FaceAnswers:
    size, scale = net.meta.net.input_size, net.meta.net.crop_scale
    cut = [crop_face(open_picture(record, data), face_box(record), size=size, crop_scale=scale) for record in records]
    matrices = [matrix for _, matrix in cut]
    final, base = answer_both(net, np.stack([crop for crop, _ in cut]))
    part = FaceAnswers(
        landmarks_NK2=_to_picture(final.points_BK2, matrices),
        confidence_NK=final.confidence_BK,
        probabilities_NE=final.probabilities_BE,
        points19_NM2=_to_picture(final.points19_BM2, matrices),
        base_landmarks_NK2=None if base is None else _to_picture(base.points_BK2, matrices),
        base_probabilities_NE=None if base is None else base.probabilities_BE,
    )
    for item in fields(part):
        value = getattr(part, item.name)
        if value is not None and not np.isfinite(value).all():
            raise CheckpointError(f"{item.name} of {records[0].record_id} or its batch is not finite: train again")
    return part


def _batches(records: Sequence[FaceRecord], size: int) -> Iterator[Sequence[FaceRecord]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]


def _to_picture(points_BK2: Array | None, matrices: Sequence[Array]) -> Array | None:
    if points_BK2 is None:
        return None
    return np.stack([decode_points(points, matrix) for points, matrix in zip(points_BK2, matrices, strict=True)])


def _joined(parts: Sequence[Array | None]) -> Array | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None
