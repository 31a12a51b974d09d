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
    """Weights of tasks, and whatever is learned about them."""

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Multipliers for the given tasks; `losses` are the detached values over all processes."""

    def penalty(self, losses: Mapping[str, Tensor]) -> Tensor:
        """What is added to the sum, once for all processes together."""

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser learns beside the network."""

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Take note of the mean losses of an epoch."""

    def state(self) -> dict[str, Tensor]:
        """All that a resumed training needs."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""


class Fixed:
    """Hand-set weights."""

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

    Weights `c z_i / L_i` with `z = softmax(xi)` and `c` such that they sum to the number of tasks. `xi` follows the
    change of `log L` from one step to the next. The paper measures it on the same batch twice; here the next batch
    serves, which saves a forward pass and adds noise that `RATE` averages.
    """

    RATE = 0.025
    DECAY = 0.001

    def __init__(self, config: LossConfig, device: torch.device) -> None:
        super().__init__(config)
        self._xi = torch.zeros(len(TASKS), device=device)
        self._last = torch.zeros(len(TASKS), device=device)  # log losses of the step before; 0 where absent
        self._seen = torch.zeros(len(TASKS), device=device)

    def weights(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hand-set weight times the adaptive one; takes note of the change since the step before."""
        given = super().weights(losses)
        known = [task for task in losses if task in TASKS]
        if not known:
            return given
        places = [TASKS.index(task) for task in known]
        log_loss = torch.stack([losses[task].detach().clamp(min=1e-8).log().to(self._xi) for task in known])
        share = self._xi[places].softmax(dim=0)
        self._follow(places, log_loss, share)
        raw = share / log_loss.exp()
        scale = len(known) / raw.sum()
        return given | {task: given[task] * raw[place] * scale for place, task in enumerate(known)}

    def state(self) -> dict[str, Tensor]:
        """Logits of the weights, and the losses of the last step."""
        return {"xi": self._xi, "last": self._last, "seen": self._seen}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Set them."""
        self._xi, self._last, self._seen = (state[name].to(self._xi) for name in ("xi", "last", "seen"))

    def _follow(self, places: list[int], log_loss: Tensor, share: Tensor) -> None:
        """A gradient step on `xi`: a task that fell faster than the weighted mean loses weight."""
        fall = (self._last[places] - log_loss) * self._seen[places]
        self._xi = self._xi * (1 - self.DECAY)
        self._xi[places] -= self.RATE * share * (fall - (share * fall).sum())
        self._last[places] = log_loss
        self._seen[places] = 1.0


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
