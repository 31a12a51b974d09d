"""Losses of the two tasks: every term is a sum and a count, so that processes can be averaged exactly.

A missing label adds nothing to either; a batch without any label of a task gives a term of zero over zero whose
gradient is zero, not a broken graph.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import LossConfig
from model.net.heads import heat_centres
from model.schema import FaceBatch, FaceOutput, LossTerms, Term

# Keeps the distance of two equal points differentiable; a hundredth of a pixel in a 100-pixel crop.
_SMOOTH = 1e-4


def multitask_loss(output: FaceOutput, batch: FaceBatch, config: LossConfig) -> LossTerms:
    """Unweighted terms of both tasks, for the base answer and the final one.

    A network without a task has no term of it.
    """
    terms: LossTerms = {}
    truth, mask = batch.landmarks_BK2, batch.landmarks_mask_BK
    if output.landmarks_BK2 is not None and output.landmarks_base_BK2 is not None:
        terms["landmarks"] = point_term(output.landmarks_BK2, truth, mask, config)
        terms["landmarks_base"] = point_term(output.landmarks_base_BK2, truth, mask, config)
    if output.heat_BKHW is not None and config.heatmap_weight > 0:
        terms["heatmap"] = heatmap_term(output.heat_BKHW, truth, mask, config.heatmap_sigma)
    if output.points19_BM2 is not None:
        terms["points19"] = point_term(output.points19_BM2, batch.points19_BM2, batch.points19_mask_BM, config)
    if output.logits_BE is not None and output.logits_base_BE is not None:
        target = expression_target(batch.expression_BE, config)
        terms["expression"] = class_term(output.logits_BE, target, batch.expression_mask_B)
        terms["expression_base"] = class_term(output.logits_base_BE, target, batch.expression_mask_B)
    return terms


def point_term(points_BK2: Tensor, truth_BK2: Tensor, mask_BK: Tensor, config: LossConfig) -> Term:
    """Wing loss of the distance `d` between point and truth, in crop units, summed over visible points.

    `wing(d) = ln(1 + d/c) / ln(1 + w/c)` for `d < w`, then a straight line of the slope it has there: steep near zero,
    where sub-pixel accuracy is decided, and of bounded pull for gross errors. `wing(0) = 0`, `wing(w) = 1`;
    `w` is `wing_width`, `c` is `wing_curvature`.
    """
    gap = (points_BK2.float() - truth_BK2).square().sum(dim=-1)
    distance = (gap + _SMOOTH**2).sqrt() - _SMOOTH
    width, curve = config.wing_width, config.wing_curvature
    height = torch.log1p(torch.tensor(width / curve)).item()
    near = torch.log1p(distance.clamp(max=width) / curve) / height
    far = (distance - width).clamp(min=0) / ((curve + width) * height)
    return masked(near + far, mask_BK)


def heatmap_term(heat_BKHW: Tensor, truth_BK2: Tensor, mask_BK: Tensor, sigma: float) -> Term:
    """`KL(Gaussian at the truth || softmax of the heatmap)`, summed over visible points within the map.

    The Gaussian has `sigma` cells and is normalised over the cells of the map; zero when the two agree. A map reaches
    somewhat beyond the crop (`heat_centres`); points further outside are left out, as no map can point at them.
    """
    # A face without points costs nothing; and the Gaussian is a product, so that no sum runs over all its cells.
    known_B = mask_BK.any(dim=-1)
    heat, truth, mask = heat_BKHW[known_B].float(), truth_BK2[known_B], mask_BK[known_B]
    place_y, place_x = (heat_centres(cells, truth.device) for cells in heat.shape[-2:])
    log_y = _log_gaussian(truth[..., 1], place_y, sigma)
    log_x = _log_gaussian(truth[..., 0], place_x, sigma)
    share_y, share_x = log_y.exp(), log_x.exp()
    information = (share_y * log_y).sum(dim=-1) + (share_x * log_x).sum(dim=-1)
    expected = (torch.einsum("bkyx,bky->bkx", heat, share_y) * share_x).sum(dim=-1)
    divergence = information - expected + heat.flatten(2).logsumexp(dim=-1)  # (B, K)
    first, last = torch.stack([place_x[0], place_y[0]]), torch.stack([place_x[-1], place_y[-1]])
    within = ((truth >= first) & (truth <= last)).all(dim=-1)
    return masked(divergence, mask & within)


def class_term(logits_BE: Tensor, target_BE: Tensor, mask_B: Tensor) -> Term:
    """Cross-entropy against a distribution over the classes, summed over labelled faces."""
    return masked(F.cross_entropy(logits_BE.float(), target_BE, reduction="none"), mask_B)


def expression_target(expression_BE: Tensor, config: LossConfig) -> Tensor:
    """The distribution of the batch, smoothed to uniform."""
    return (1 - config.label_smoothing) * expression_BE + config.label_smoothing / expression_BE.shape[-1]


def masked(values: Tensor, mask: Tensor) -> Term:
    """Sum of the values where the mask is true, and how many there are."""
    return Term(torch.where(mask, values, torch.zeros_like(values)).sum(), mask.sum())


def task_losses(means: Mapping[str, Tensor], config: LossConfig) -> dict[str, Tensor]:
    """One loss a task out of the means of its terms: `(1-b) final + b base`, and the heatmap's share of landmarks.

    Terms that belong to no task, and tasks without a term, are left out.
    """
    shares = {
        "landmarks": ("landmarks", 1 - config.base_share),
        "landmarks_base": ("landmarks", config.base_share),
        "heatmap": ("landmarks", config.heatmap_weight),
        "points19": ("points19", 1.0),
        "expression": ("expression", 1 - config.base_share),
        "expression_base": ("expression", config.base_share),
    }
    losses: dict[str, Tensor] = {}
    for name, mean in means.items():
        if name in shares:
            task, share = shares[name]
            losses[task] = losses[task] + share * mean if task in losses else share * mean
    return losses


def _log_gaussian(centre_BK: Tensor, place_N: Tensor, sigma: float) -> Tensor:
    """Log of a Gaussian of `sigma` cells over cell centres, normalised; shape (B, K, cells)."""
    spread = sigma * (place_N[1] - place_N[0])
    offset = (place_N - centre_BK[..., None]) / spread
    return (-0.5 * offset.square()).log_softmax(dim=-1)
