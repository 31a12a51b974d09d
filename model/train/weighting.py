"""How the losses of the tasks become one number; four ways behind one protocol.

Each way gives multiplicative weights for the tasks present in a batch. Hand-set weights (`landmark_weight`, ...) scale
all of them, so that `fixed` at equal weights is the plain sum. A task it has never met gets weight 1.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from model.config import LossConfig

TASKS = ("landmarks", "points19", "expression")


class Weighting(Protocol):
    """Weights of tasks, and whatever is learned about them.

    Attributes:
        looks_again: whether `follow` is to be told the losses of each batch once more after the step.
    """

    looks_again: bool

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Multipliers for the given tasks; `losses` are the detached values over all processes."""

    def penalty(self, losses: Mapping[str, Tensor]) -> Tensor:
        """What is added to the sum, once for all processes together."""

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser learns beside the network."""

    def follow(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Take note of what a step did to the losses of its batch, over all processes."""

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Take note of the mean losses of an epoch."""

    def state(self) -> dict[str, Tensor]:
        """All that a resumed training needs."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""


class Fixed:
    """Hand-set weights."""

    looks_again = False

    def __init__(self, config: LossConfig) -> None:
        self._given = {
            "landmarks": config.landmark_weight,
            "points19": config.points19_weight,
            "expression": config.expression_weight,
        }

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of the configuration."""
        return {task: torch.full_like(loss, self._given.get(task, 1.0)) for task, loss in losses.items()}

    def penalty(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Nothing."""
        return torch.zeros(())

    def parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def follow(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Nothing changes."""

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Nothing changes."""

    def state(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to restore."""


class Uncertainty(Fixed):
    """Kendall, Gal and Cipolla 2018: `exp(-s) L + s` with a learned log-variance `s` a task, zero at the start."""

    def __init__(self, config: LossConfig, device: torch.device) -> None:
        super().__init__(config)
        self._log_variance = nn.Parameter(torch.zeros(len(TASKS), device=device))

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hand-set weight times `exp(-s)`."""
        given = super().weights(losses)
        return {task: weight * (-self._of(task)).exp() if task in TASKS else weight for task, weight in given.items()}

    def penalty(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Hand-set weight times `s`, over the tasks present."""
        given = super().weights(losses)
        parts = [given[task] * self._of(task) for task in losses if task in TASKS]
        return torch.stack(parts).sum() if parts else torch.zeros(())

    def parameters(self) -> list[nn.Parameter]:
        """The log-variances."""
        return [self._log_variance]

    def state(self) -> dict[str, Tensor]:
        """The log-variances."""
        return {"log_variance": self._log_variance.detach()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Set the log-variances."""
        with torch.no_grad():
            self._log_variance.copy_(state["log_variance"])

    def _of(self, task: str) -> Tensor:
        return self._log_variance[TASKS.index(task)]


class DynamicAverage(Fixed):
    """DWA (Liu, Johns and Davison 2019): more weight to tasks whose loss falls slowly, `K softmax(r / T)`, T = 2.

    `r` is the mean loss of the last epoch over that of the one before; equal weights until there are two.
    """

    TEMPERATURE = 2.0

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self._past = torch.full((2, len(TASKS)), torch.nan)

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hand-set weight times the dynamic one."""
        ratio = (self._past[1] / self._past[0]).nan_to_num(1.0)
        known = [TASKS.index(task) for task in losses if task in TASKS]
        shares = len(known) * (ratio[known] / self.TEMPERATURE).softmax(dim=0)
        dynamic = dict(zip([TASKS[place] for place in known], shares.tolist(), strict=True))
        return {task: weight * dynamic.get(task, 1.0) for task, weight in super().weights(losses).items()}

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Shift the memory of two epochs by one."""
        newest = torch.tensor([losses.get(task, torch.nan) for task in TASKS])
        self._past = torch.stack([self._past[1], newest])

    def state(self) -> dict[str, Tensor]:
        """Losses of the last two epochs; NaN where there were none is stored as -1."""
        return {"past": self._past.nan_to_num(-1.0)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Set the memory."""
        past = state["past"].cpu()
        self._past = torch.where(past < 0, torch.nan, past)


class Famo(Fixed):
    """FAMO (Liu et al. 2023): equal relative progress of all tasks in constant time a step.

    Weights `c z_i / L_i` with `z = softmax(xi)` and `c` such that they sum to the number of tasks. After each step the
    losses of the same batch are measured again, and Adam moves `xi` against the fall of `log L` through the softmax:
    a task that fell faster than the weighted mean loses weight.
    """

    looks_again = True

    RATE = 0.025
    DECAY = 0.001

    def __init__(self, config: LossConfig, device: torch.device) -> None:
        super().__init__(config)
        self._xi = nn.Parameter(torch.zeros(len(TASKS), device=device))
        self._adam = torch.optim.Adam([self._xi], lr=self.RATE, weight_decay=self.DECAY)

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hand-set weight times the adaptive one."""
        given = super().weights(losses)
        known, places = _known(losses)
        if not known:
            return given
        raw = self._xi.detach()[places].softmax(dim=0) / _log(losses, known).exp().to(self._xi)
        scale = len(known) / raw.sum()
        return given | {task: given[task] * raw[place] * scale for place, task in enumerate(known)}

    def follow(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Move `xi` by the gradient of `softmax(xi)` along the fall of `log L`."""
        known, places = _known({task: loss for task, loss in before.items() if task in after})
        if not known:
            return
        fall = (_log(before, known) - _log(after, known)).to(self._xi)
        share = self._xi.detach()[places].softmax(dim=0)
        self._xi.grad = torch.zeros_like(self._xi)
        self._xi.grad[places] = share * (fall - (share * fall).sum())
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Logits of the weights, and the moments of their optimiser; none before the first step."""
        return {"xi": self._xi.detach(), **self._adam.state[self._xi]}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Set them."""
        with torch.no_grad():
            self._xi.copy_(state["xi"])
        moments = {name: value.to(self._xi) for name, value in state.items() if name.startswith("exp_avg")}
        if moments:
            self._adam.state[self._xi] = {"step": state["step"].cpu().clone(), **moments}


def _known(losses: Mapping[str, Tensor]) -> tuple[list[str], list[int]]:
    """Tasks of `TASKS` among the losses, and their places."""
    known = [task for task in losses if task in TASKS]
    return known, [TASKS.index(task) for task in known]


def _log(losses: Mapping[str, Tensor], known: list[str]) -> Tensor:
    return torch.stack([losses[task].detach().clamp(min=1e-8).log() for task in known])


def make_weighting(config: LossConfig, device: torch.device) -> Weighting:
    """The weighting that `loss.weighting` names."""
    match config.weighting:
        case "fixed":
            return Fixed(config)
        case "uncertainty":
            return Uncertainty(config, device)
        case "dwa":
            return DynamicAverage(config)
        case "famo":
            return Famo(config, device)
