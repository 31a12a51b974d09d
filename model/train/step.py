"""One training step: forward, reduce the sums, backward, reduce the gradients, move."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.net.norm import CollectiveError
from model.schema import EXPRESSIONS, LANDMARKS, NO_LABEL, FaceBatch, LossTerms, Term
from model.train.association import Transfer, association_loss, pseudo_terms, ramp, teacher_belief, term_weights
from model.train.bad_steps import check_skippable, skip
from model.train.distributed import Team
from model.train.learner import Learner, forward_net
from model.train.losses import multitask_loss, task_losses
from model.train.mixing import mix_faces
from model.train.optim import lr_at

# Every term there may be, so that all processes send the same message whatever their batch holds.
TERMS = (
    *("landmarks", "landmarks_base", "heatmap", "points19", "expression", "expression_base"),
    *("assoc_learn", "assoc_to_expression", "assoc_to_landmarks", "q_entropy", "q_confident"),
    *("pseudo_expression", "pseudo_landmarks"),
)


@dataclass(frozen=True)
class Reduced:
    """Sums over all processes: of each term, of the labels, and of the flags."""

    totals: dict[str, float]
    numbers: dict[str, float]
    labels_E: Tensor
    failed: bool
    leave: bool


def train_step(learner: Learner, batch: FaceBatch, *, leave: bool) -> bool:
    """Learn from one batch; every process takes part, and all do the same.

    A step with a non-finite loss or gradient, or without memory, changes nothing.

    Args:
        leave: this process has been asked to end.

    Returns:
        Whether any process has been asked to end; the step is then complete.

    Raises:
        LostPeerError: another process has left.
        TrainingError: more than `max_bad_steps` such steps in a row, or one without memory that the others cannot skip.
    """
    try:
        return _step(learner, batch, leave=leave)
    except CollectiveError as error:
        raise learner.team.lost(error) from error


def _step(learner: Learner, batch: FaceBatch, *, leave: bool) -> bool:
    _seed_step(learner)
    batch = mix_faces(batch, learner.config.augment, _own_draws(learner))
    terms = _forward(learner, batch)
    reduced = _reduce(learner.team, terms, batch, leave)
    problem = _problem(reduced)
    if problem is None and not _backward(learner, terms or {}, reduced):
        problem = "the gradient is not finite"
    if problem is None:
        learner.optimizer.step()
        if learner.weighting.looks_again:
            _look_again(learner, batch, reduced)
        learner.seen_E += reduced.labels_E
        learner.net.association.set_prior(learner.seen_E)
        learner.net.association.update_ema()
        learner.ema.update()
        learner.progress.bad_steps = 0
        _note(learner.progress.sums, reduced)
    else:
        skip(learner, problem)
    learner.progress.step += 1
    return reduced.leave


def _seed_step(learner: Learner) -> None:
    """Draws depend on the place of the step alone, so that a resumed training repeats them.

    They are a process's own, of dropout above all: with it, weights depend on the number of processes.
    """
    place = (learner.seed * 1_000_003 + learner.number) * 1024 + learner.team.rank
    torch.manual_seed(place % 2**63)
    lr = lr_at(learner.number, learner.config, learner.steps_per_epoch)
    for group in learner.optimizer.param_groups:
        group["lr"] = lr


def _own_draws(learner: Learner) -> np.random.Generator:
    """Of this process in this step."""
    # A seed of zeros at the end would equal the shorter one, hence + 1.
    return np.random.default_rng([learner.seed & 0xFFFFFFFF, learner.number, learner.team.rank + 1])


def _forward(learner: Learner, batch: FaceBatch) -> LossTerms | None:
    """Terms of this process's faces, or None where they do not fit into memory."""
    config = learner.config
    try:
        output = forward_net(learner.net, batch.image_BCHW, config)
        transfer = _transfer(learner, len(batch.row_B))
        terms = multitask_loss(output, batch, config.loss)
        terms |= association_loss(learner.net.association, output, batch, transfer, config.association)
        if config.association.pseudo_weight > 0:
            with torch.no_grad():
                teacher = forward_net(learner.ema.net, batch.image_BCHW, config)
                belief = teacher_belief(learner.net.association, teacher, batch, transfer.strength, config.association)
            terms |= pseudo_terms(output, teacher, belief, batch, config)
    except (torch.OutOfMemoryError, MemoryError) as error:
        check_skippable(learner, error)
        return None
    return terms


def _look_again(learner: Learner, batch: FaceBatch, before: Reduced) -> None:
    """Tell the weighting what the step did to the losses of the same faces under the same draws."""
    _seed_step(learner)
    try:
        with torch.no_grad():
            output = forward_net(learner.net, batch.image_BCHW, learner.config)
            terms = multitask_loss(output, batch, learner.config.loss)
    except (torch.OutOfMemoryError, MemoryError) as error:
        check_skippable(learner, error)
        terms = None
    after = _reduce(learner.team, terms, batch, leave=False)
    if _problem(after) is None:
        learner.weighting.follow(_losses(learner, before), _losses(learner, after))


def _transfer(learner: Learner, faces: int) -> Transfer:
    team = learner.team
    # The whole team's draws, of which each process takes the ones of its own faces.
    generator = torch.Generator().manual_seed((learner.seed * 1_000_003 + learner.number) % 2**63)
    noise = torch.randn(faces * team.world, LANDMARKS, 2, generator=generator)[team.rank :: team.world]
    return Transfer(
        strength=_strength(learner),
        margin=learner.progress.transfer_margin,
        noise_BK2=noise.to(team.device),
    )


def _reduce(team: Team, terms: LossTerms | None, batch: FaceBatch, leave: bool) -> Reduced:
    zero = torch.zeros((), device=team.device)
    pairs = [(terms or {}).get(name, Term(zero, zero)) for name in TERMS]
    labels_E = torch.bincount(batch.label_B[batch.label_B != NO_LABEL], minlength=len(EXPRESSIONS))
    flags = torch.tensor([float(terms is None), float(leave)], device=team.device)
    parts = [torch.stack([pair.total.detach().double() for pair in pairs])]
    parts += [torch.stack([pair.number.double() for pair in pairs]), labels_E.double(), flags.double()]
    vector = team.sum(torch.cat(parts))
    values = vector.tolist()
    return Reduced(
        totals=dict(zip(TERMS, values[: len(TERMS)], strict=True)),
        numbers=dict(zip(TERMS, values[len(TERMS) : 2 * len(TERMS)], strict=True)),
        labels_E=vector[2 * len(TERMS) : -2],
        failed=values[-2] > 0,
        leave=values[-1] > 0,
    )


def _problem(reduced: Reduced) -> str | None:
    if reduced.failed:
        return "the batch does not fit into memory"
    wrong = [name for name, total in reduced.totals.items() if not math.isfinite(total)]
    return f"the loss term {', '.join(wrong)} is not finite" if wrong else None


def _backward(learner: Learner, terms: LossTerms, reduced: Reduced) -> bool:
    """Gradients of the loss over all processes; false where they are not finite.

    Each process divides its own sums by the number over all of them, so the sum of the gradients is the gradient of
    the one mean, however unevenly labels are spread.
    """
    parameters = [item for group in learner.optimizer.param_groups for item in group["params"]]
    learner.optimizer.zero_grad(set_to_none=True)
    try:
        _objective(learner, terms, reduced).backward()  # type: ignore[no-untyped-call]
    except (torch.OutOfMemoryError, MemoryError) as error:
        check_skippable(learner, error)
        # Half a gradient would pass for a whole one; this one makes the sum not finite, and all skip the step.
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, torch.nan)
    learner.team.sum_gradients(parameters)
    # The map is clipped by itself: while it only listens, the rest of the training does not notice it.
    own = {id(item) for item in learner.net.association.parameters()}
    norms = []
    for mine in (True, False):
        part = [item for item in parameters if (id(item) in own) == mine]
        norms.append(nn.utils.clip_grad_norm_(part, learner.config.grad_clip))
    return bool(torch.isfinite(torch.stack([norm.to(learner.team.device) for norm in norms])).all())


def _objective(learner: Learner, terms: LossTerms, reduced: Reduced) -> Tensor:
    config, team = learner.config, learner.team
    means = {name: term.total / max(reduced.numbers[name], 1e-12) for name, term in terms.items()}
    losses = task_losses(means, config.loss)
    present = _losses(learner, reduced)
    weights = learner.weighting.weights(present)
    objective = learner.weighting.penalty(present).to(team.device) / team.world
    for task, loss in losses.items():
        objective = objective + weights.get(task, 0.0) * loss
    extra = term_weights(config.association, _strength(learner))
    for name, mean in means.items():
        if extra.get(name, 0.0) > 0:
            objective = objective + extra[name] * mean
    return objective


def _losses(learner: Learner, reduced: Reduced) -> dict[str, Tensor]:
    """Losses of the tasks present, over all processes."""
    device = learner.team.device
    means = {
        name: torch.tensor(reduced.totals[name] / number, device=device)
        for name, number in reduced.numbers.items()
        if number > 0
    }
    return task_losses(means, learner.config.loss)


def _strength(learner: Learner) -> float:
    epoch = learner.progress.epoch + learner.progress.step / learner.steps_per_epoch
    return ramp(learner.progress.transfer_since, epoch, learner.config.association)


def _note(sums: dict[str, list[float]], reduced: Reduced) -> None:
    for name, number in reduced.numbers.items():
        if number > 0:
            total, count = sums.get(name, [0.0, 0.0])
            sums[name] = [total + reduced.totals[name], count + number]


def epoch_means(sums: Mapping[str, list[float]]) -> dict[str, float]:
    """Mean of each term over the epoch so far."""
    return {name: total / number for name, (total, number) in sums.items() if number > 0}
