"""Faces mixed two by two within a batch, for the expression head alone: no point lies anywhere in a mixture."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import AugmentConfig
from model.schema import NO_LABEL, FaceBatch

_BETA = 0.2


def mix_faces(batch: FaceBatch, config: AugmentConfig, generator: np.random.Generator) -> FaceBatch:
    """Mix faces that have an expression and no point with others of their kind, pictures and targets by one share.

    Cutmix (Yun et al. 2019) lays a rectangle of the other face over a face, of a share of the picture drawn evenly and
    cut off at the border; mixup (Zhang et al. 2018) blends the two, by a share of Beta(0.2, 0.2). A mixture has no
    `label_B`: nobody named it. Faces meet those of the same process, so the draws are a process's own.
    """
    if config.cutmix + config.mixup == 0:
        return batch
    pointless_B = ~(batch.landmarks_mask_BK.any(dim=-1) | batch.points19_mask_BM.any(dim=-1))
    rows = (batch.expression_mask_B & pointless_B).nonzero().flatten()
    if len(rows) < 2:
        return batch
    kept, chosen = draw_shares(len(rows), batch.image_BCHW.shape[-1], config, generator)
    partner = (np.arange(len(rows)) + generator.integers(1, len(rows), len(rows))) % len(rows)
    device = batch.image_BCHW.device
    own, other = rows[torch.from_numpy(chosen).to(device)], rows[torch.from_numpy(partner[chosen]).to(device)]
    keep = torch.from_numpy(kept[chosen]).to(device)[:, None]  # (M, 1, H, W)
    image, target, label = batch.image_BCHW.clone(), batch.expression_BE.clone(), batch.label_B.clone()
    image[own] = (keep * image[own] + (1 - keep) * batch.image_BCHW[other]).round().to(torch.uint8)
    share = keep.mean(dim=(2, 3))
    target[own] = share * target[own] + (1 - share) * batch.expression_BE[other]
    label[own] = NO_LABEL
    return batch._replace(image_BCHW=image, expression_BE=target, label_B=label)


def draw_shares(
    faces: int, size: int, config: AugmentConfig, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How much of each pixel a face keeps, (B, size, size) in 0..1, and which faces are mixed at all."""
    kept = np.ones((faces, size, size), dtype=np.float32)
    draw = generator.random(faces)
    for face, (cut, blend) in enumerate(zip(draw < config.cutmix, draw < config.cutmix + config.mixup, strict=True)):
        if cut:
            _cut(kept[face], generator)
        elif blend:
            kept[face] = generator.beta(_BETA, _BETA)
    return kept, draw < config.cutmix + config.mixup


def _cut(kept_HW: NDArray[np.float32], generator: np.random.Generator) -> None:
    size = len(kept_HW)
    share, x, y = generator.random(3)
    half = math.sqrt(share) / 2
    left, right, top, bottom = (
        round(min(max(edge, 0.0), 1.0) * size) for edge in (x - half, x + half, y - half, y + half)
    )
    kept_HW[top:bottom, left:right] = 0
