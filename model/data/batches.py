"""One batch of faces: pictures read, cut and varied, labels in crop units."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from model.config import TrainConfig
from model.data.augment import augment, draw_luck
from model.data.codec import Floats, Pixels
from model.data.faces import Bools, Faces, Ints
from model.data.sampler import draw_epoch, epoch_length, make_groups, rank_positions
from model.data.transforms import crop_face
from model.errors import DataContractError, ImageError, StorageError
from model.schema import EXPRESSIONS, FLIP_19, FLIP_68, NO_LABEL, Box, FaceBatch

_LOG = logging.getLogger(__name__)
_MAX_REPLACED = 16
"""Unreadable records in a row after which the shards, not a record, are at fault."""


class Drawn(NamedTuple):
    """A batch, and how many of its faces stand in for unreadable ones."""

    batch: FaceBatch
    replaced: int


class _Found(NamedTuple):
    """A picture, its row, and how many others could not be read before it."""

    picture: Pixels
    row: int
    tries: int


class Batches(Dataset[Drawn]):
    """Makes batch `step` of an epoch from (epoch, step), with no state that depends on what was made before."""

    def __init__(self, faces: Faces, config: TrainConfig, *, training: bool, rank: int, world: int, seed: int) -> None:
        self._faces, self._config, self._training = faces, config, training
        self._seed = seed & 0xFFFFFFFF
        self._length = len(faces)
        if training:
            self._groups = make_groups(faces.source_N, faces.expression_N, config.balance)
            self._length = epoch_length(len(faces), config.batch_size, config.steps_per_epoch)
        self._positions = rank_positions(self._length, config.batch_size, rank=rank, world=world)
        # The order of an epoch is the same on every rank; each process computes it once.
        self._order = lru_cache(maxsize=1)(self._draw)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, job: tuple[int, int]) -> Drawn:
        epoch, step = job
        found = [self._readable(epoch, position) for position in self._positions[step].tolist()]
        pictures = [each.picture for each in found]
        rows = np.array([each.row for each in found], dtype=np.int64)
        images, matrices, flipped = self._vary(pictures, rows, job) if self._training else self._cut(pictures, rows)
        return Drawn(self._collate(images, matrices, flipped, rows), sum(each.tries > 0 for each in found))

    def _draw(self, epoch: int) -> Ints:
        if not self._training:
            return np.arange(self._length)
        return draw_epoch(self._groups, self._length, seed=self._seed, epoch=epoch)

    def _readable(self, epoch: int, position: int) -> _Found:
        """The picture drawn at a position; in training the next position's where it cannot be read."""
        order = self._order(epoch)
        for tries in range(_MAX_REPLACED):
            row = int(order[(position + tries) % self._length])
            try:
                return _Found(self._faces.read_picture(row), row, tries)
            except (ImageError, StorageError) as error:
                if not self._training:
                    raise DataContractError(f"a face of {self._faces.split} cannot be read: {error}") from error
                _LOG.warning("epoch %d, position %d: %s; the next draw takes its place", epoch, position, error)
        raise DataContractError(
            f"{self._faces.folder}: {_MAX_REPLACED} records in a row cannot be read; run `rmtl shard` again"
        )

    def _cut(self, pictures: Sequence[Pixels], rows: Ints) -> tuple[Pixels, Floats, Bools]:
        net = self._config.net
        cuts = [
            crop_face(picture, box, size=net.input_size, crop_scale=net.crop_scale)
            for picture, box in zip(pictures, self._boxes(rows), strict=True)
        ]
        crops, matrices = zip(*cuts, strict=True)
        return np.stack(crops), np.stack(matrices), np.zeros(len(rows), dtype=np.bool_)

    def _vary(self, pictures: Sequence[Pixels], rows: Ints, job: tuple[int, int]) -> tuple[Pixels, Floats, Bools]:
        epoch, step = job
        net, size = self._config.net, self._config.batch_size
        # For the whole global batch: it must not matter which process makes a face. A seed of zeros at the end would
        # equal the shorter one, hence + 1.
        lucks = draw_luck(np.random.default_rng([self._seed, epoch, step + 1]), size)
        mine = [lucks[position % size] for position in self._positions[step].tolist()]
        return augment(
            pictures, self._boxes(rows), self._config.augment, mine, size=net.input_size, crop_scale=net.crop_scale
        )

    def _boxes(self, rows: Ints) -> list[Box]:
        return [(x0, y0, x1, y1) for x0, y0, x1, y1 in self._faces.box_N4[rows].tolist()]

    def _collate(self, images_BHWC: Pixels, matrices: Floats, flipped: Bools, rows: Ints) -> FaceBatch:
        faces = self._faces
        landmarks, landmarks_mask = _encode(
            faces.landmarks_NK2[rows], faces.landmarks_mask_NK[rows], matrices, flipped, FLIP_68
        )
        points19, points19_mask = _encode(
            faces.points19_NM2[rows], faces.points19_mask_NM[rows], matrices, flipped, FLIP_19
        )
        labels = faces.expression_N[rows]
        target = _distribution(labels, faces.votes_NV[rows], self._config.loss.vote_share)
        return FaceBatch(
            image_BCHW=torch.from_numpy(images_BHWC).permute(0, 3, 1, 2),
            landmarks_BK2=torch.from_numpy(landmarks),
            landmarks_mask_BK=torch.from_numpy(landmarks_mask),
            points19_BM2=torch.from_numpy(points19),
            points19_mask_BM=torch.from_numpy(points19_mask),
            expression_BE=torch.from_numpy(target),
            expression_mask_B=torch.from_numpy(labels != NO_LABEL),
            label_B=torch.from_numpy(labels),
            source_B=torch.from_numpy(faces.source_N[rows]),
            row_B=torch.from_numpy(rows),
        )


def _encode(
    points_BK2: Floats, mask_BK: Bools, matrices: Floats, flipped: Bools, partner: Ints
) -> tuple[NDArray[np.float32], Bools]:
    """Points in crop units, left and right renamed where mirrored, zero where unknown."""
    # Written out: einsum takes five times as long over so short a sum.
    along, across, shift = (matrices[:, None, :, column] for column in range(3))
    encoded = along * points_BK2[:, :, :1] + across * points_BK2[:, :, 1:] + shift
    encoded[flipped] = encoded[flipped][:, partner]
    mask = mask_BK.copy()
    mask[flipped] = mask[flipped][:, partner]
    return np.where(mask[:, :, None], encoded, 0.0).astype(np.float32), mask


def _distribution(labels_B: Ints, votes_BV: Floats, share: float) -> NDArray[np.float32]:
    """`(1 - share)` of the label and `share` of the votes for our classes; the label alone without such votes.

    A face without label has zeros.
    """
    count = len(EXPRESSIONS)
    target: NDArray[np.float32] = (labels_B[:, None] == np.arange(count)).astype(np.float32)
    ours = votes_BV[:, :count]
    voted = (ours.sum(axis=1) > 0) & (labels_B != NO_LABEL)
    target[voted] = (1 - share) * target[voted] + share * ours[voted] / ours[voted].sum(axis=1, keepdims=True)
    return target
