"""Losses that let a label of one task train the other, through the map from face shape to expression.

The map `a` learns from human labels alone; `a'` is its moving average. What the map says then teaches the expression
head on faces with landmarks only, and what a label says teaches the points on faces with an expression only.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import AssociationConfig, TrainConfig
from model.net.association import AssociationMap
from model.schema import NO_LABEL, OUTER_EYE_CORNERS, FaceBatch, FaceOutput, LossTerms, Term
from model.train.losses import masked, point_term

# A face counts as taught by the map where the entropy weight is above this.
CONFIDENT = 0.3


@dataclass(frozen=True)
class Transfer:
    """State of the association in one step.

    Attributes:
        strength: 0 before the map has proved itself, then rising to 1.
        margin: `m`, the cross-entropy below which points are left alone.
        noise_BK2: standard normal draws, one a coordinate.
    """

    strength: float
    margin: float
    noise_BK2: Tensor


def ramp(since: int, epoch: float, config: AssociationConfig) -> float:
    """0 before the end of epoch `since` (-1: not started), then linear up to 1 over `ramp_epochs`."""
    return 0.0 if since < 0 else min(max((epoch - since) / config.ramp_epochs, 0.0), 1.0)


def association_loss(
    net_map: AssociationMap, output: FaceOutput, batch: FaceBatch, transfer: Transfer, config: AssociationConfig
) -> LossTerms:
    """The terms that are switched on; `q_entropy` and `q_confident` are for the log and carry no weight."""
    terms: LossTerms = {}
    if output.landmarks_BK2 is None or output.logits_BE is None or config.learn_weight == 0:
        return terms
    shift_BK2 = config.noise * _inter_ocular(output.landmarks_BK2.detach()) * transfer.noise_BK2
    terms["assoc_learn"] = learn_term(net_map, output.landmarks_BK2 + shift_BK2, batch)
    if transfer.strength > 0 and config.to_expression_weight > 0:
        terms |= to_expression_terms(net_map, output.logits_BE, batch, config.temperature)
    if transfer.strength > 0 and config.to_landmarks_weight > 0:
        points_BK2 = output.landmarks_BK2 + shift_BK2
        terms["assoc_to_landmarks"] = to_landmarks_term(net_map, points_BK2, batch, transfer.margin)
    return terms


def learn_term(net_map: AssociationMap, points_BK2: Tensor, batch: FaceBatch) -> Term:
    """(1) `CE(a(z(stop s)), y)` on faces with an expression label, each class with equal weight in all.

    A face counts `1 / (7 prior of its class)`; the gradient reaches `a` alone.
    """
    prior_E = net_map.prior_E
    label_B = batch.label_B.clamp(min=0)
    weight_B = (1 / (len(prior_E) * prior_E))[label_B] * (batch.label_B != NO_LABEL)
    loss_B = F.cross_entropy(net_map(net_map.code(points_BK2.detach())).float(), label_B, reduction="none")
    return Term((loss_B * weight_B).sum(), weight_B.sum())


def to_expression_terms(net_map: AssociationMap, logits_BE: Tensor, batch: FaceBatch, temperature: float) -> LossTerms:
    """(2) `w(q) KL(stop q || p)` on faces with all landmarks and no expression; `w = max(0, 1 - H(q) / log 7)`.

    A sure `q` weighs 1, a uniform one 0, and `q = p` costs nothing.
    """
    mask_B = batch.landmarks_mask_BK.all(dim=-1) & ~batch.expression_mask_B
    q = map_answer(net_map, batch.landmarks_BK2, net_map.prior_E, temperature)
    log_q = q.log()
    entropy_B = -(q * log_q).sum(dim=-1)
    weight_B = (1 - entropy_B / math.log(q.shape[-1])).clamp(min=0)
    divergence_B = (q * (log_q - logits_BE.float().log_softmax(dim=-1))).sum(dim=-1)
    return {
        "assoc_to_expression": masked(weight_B * divergence_B, mask_B),
        "q_entropy": masked(entropy_B, mask_B),
        "q_confident": masked((weight_B > CONFIDENT).float(), mask_B),
    }


def to_landmarks_term(net_map: AssociationMap, points_BK2: Tensor, batch: FaceBatch, margin: float) -> Term:
    """(3) `max(0, CE(a'(z(s)), y) - m)` on faces with an expression and no landmark; the gradient reaches `s` alone."""
    mask_B = (batch.label_B != NO_LABEL) & ~batch.landmarks_mask_BK.any(dim=-1)
    return masked(excess(net_map, points_BK2, batch.label_B.clamp(min=0), margin), mask_B)


def excess(net_map: AssociationMap, points_BK2: Tensor, label_B: Tensor, margin: float) -> Tensor:
    """`max(0, CE(a'(z(s)), y) - m)` of each face."""
    logits_BE = net_map.slow(net_map.code(points_BK2)).float()
    return (F.cross_entropy(logits_BE, label_B, reduction="none") - margin).clamp(min=0)


@torch.no_grad()
def map_answer(net_map: AssociationMap, points_BK2: Tensor, prior_E: Tensor, temperature: float) -> Tensor:
    """`q = softmax(a'(z(s)) / T)` times a class prior, normalised; (B, E), nowhere below 1e-8.

    The map learns with equal classes, the expression head with the classes as they are sampled: the prior makes the two
    speak of the same mixture.
    """
    logits_BE = net_map.slow(net_map.code(points_BK2)) / temperature + prior_E.log()
    return logits_BE.softmax(dim=-1).clamp(min=1e-8)


def pseudo_terms(
    output: FaceOutput, teacher: FaceOutput, belief_BE: Tensor | None, batch: FaceBatch, config: TrainConfig
) -> LossTerms:
    """Labels of the moving-average network where a human one is missing, if it is surer than `pseudo_confidence`.

    `belief_BE` is what the teacher believes of the expression, None where it has no such task.
    """
    terms: LossTerms = {}
    threshold = config.association.pseudo_confidence
    if output.logits_BE is not None and belief_BE is not None:
        sure_B, label_B = belief_BE.max(dim=-1)
        loss_B = F.cross_entropy(output.logits_BE.float(), label_B, reduction="none")
        terms["pseudo_expression"] = masked(loss_B, ~batch.expression_mask_B & (sure_B >= threshold))
    if output.landmarks_BK2 is not None and teacher.landmarks_BK2 is not None and teacher.confidence_BK is not None:
        mixed_B = batch.expression_mask_B & (batch.label_B == NO_LABEL)
        mask_BK = ~batch.landmarks_mask_BK & (teacher.confidence_BK >= threshold) & ~mixed_B[:, None]
        target_BK2 = teacher.landmarks_BK2.float()
        terms["pseudo_landmarks"] = point_term(output.landmarks_BK2, target_BK2, mask_BK, config.loss)
    return terms


def teacher_belief(
    net_map: AssociationMap, teacher: FaceOutput, batch: FaceBatch, strength: float, config: AssociationConfig
) -> Tensor | None:
    """The teacher's class probabilities; with `pseudo_times_map`, and once the map has proved itself, times the map's.

    The map reads the true points where they are known, else the teacher's. It gets no prior: the teacher holds it.
    """
    if teacher.logits_BE is None:
        return None
    belief_BE = teacher.logits_BE.float().softmax(dim=-1)
    if not config.pseudo_times_map or strength == 0 or teacher.landmarks_BK2 is None:
        return belief_BE
    known_B = batch.landmarks_mask_BK.all(dim=-1)
    points_BK2 = torch.where(known_B[:, None, None], batch.landmarks_BK2, teacher.landmarks_BK2)
    product_BE = belief_BE * map_answer(net_map, points_BK2, torch.ones_like(net_map.prior_E), config.temperature)
    return product_BE / product_BE.sum(dim=-1, keepdim=True)


def term_weights(config: AssociationConfig, strength: float) -> dict[str, float]:
    """Fixed weight of each term of this module; the ones that are only logged have none."""
    return {
        "assoc_learn": config.learn_weight,
        "assoc_to_expression": config.to_expression_weight * strength,
        "assoc_to_landmarks": config.to_landmarks_weight * strength,
        "pseudo_expression": config.pseudo_weight,
        "pseudo_landmarks": config.pseudo_weight,
    }


def _inter_ocular(points_BK2: Tensor) -> Tensor:
    right, left = OUTER_EYE_CORNERS
    distance_B: Tensor = torch.linalg.vector_norm(points_BK2[:, left] - points_BK2[:, right], dim=-1)
    return distance_B[:, None, None]
