"""Optimiser, learning rate by step, and the moving average of the weights."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.config import TrainConfig
from model.net.multitask import MultiTaskNet


def make_optimizer(net: nn.Module, config: TrainConfig, extra: Iterable[nn.Parameter] = ()) -> torch.optim.AdamW:
    """AdamW; vectors and scalars (biases, norms, `extra`) do not decay, matrices and kernels do."""
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    groups = [
        {"params": [item for item in trained if item.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [item for item in trained if item.ndim <= 1] + list(extra), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), eps=1e-6)


def lr_at(step: int, config: TrainConfig, steps_per_epoch: int) -> float:
    """Learning rate of a step: linear warm-up over `warmup_epochs`, then half a cosine down to a hundredth of `lr`."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    total = max(config.epochs * steps_per_epoch - warmup, 1)
    progress = min((step - warmup) / total, 1.0)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


class Ema:
    """A second network whose weights follow the first one's, in fp32; it answers, and never trains.

    `ema = d * ema + (1 - d) * net` with `d = min(decay, (1 + n) / (10 + n))` after `n` updates, so that the
    first weights are forgotten fast. Buffers are copied.
    """

    def __init__(self, net: MultiTaskNet, decay: float) -> None:
        self.net = copy.deepcopy(net)
        self.net.eval().requires_grad_(False)
        self._decay = decay
        self.updates = 0
        self._pairs = list(zip(self.net.parameters(), net.parameters(), strict=True))
        self._buffers = list(zip(self.net.buffers(), net.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Follow the network by one step."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_([own for own, _ in self._pairs], [other for _, other in self._pairs], 1 - decay)
        self.take_buffers()
        self.updates += 1

    @torch.no_grad()
    def take_buffers(self) -> None:
        """Take over the network's buffers as they are (running statistics, class shares)."""
        for own, other in self._buffers:
            own.copy_(other)

    @torch.no_grad()
    def restore_buffers(self) -> None:
        """Give the network back the buffers of its last good step."""
        for own, other in self._buffers:
            other.copy_(own)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts of each parameter, named `<index>.<what>` in the order of the groups."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, state in states.items() for name, value in state.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Continue from `optimizer_tensors`; moments lie in memory as their parameters do, which the fast path wants."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if name != "step":
                state[name] = torch.empty_like(parameter).copy_(value)
