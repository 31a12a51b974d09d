"""The choice of normalisation: by groups, by batch, by the batches of all processes, or by frozen statistics.

`batch`, `synced` and `frozen` share their state keys, so that weights trained with one load into another.
"""

import math
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.errors import is_loader_death

Norm = Literal["group", "batch", "synced", "frozen"]
_GROUP_CHANNELS = 8


def make_norm(kind: Norm, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """A normalisation of a (B, C, H, W) map with one learned scale and shift a channel.

    `momentum` is the share of a batch in the running statistics of the kinds that keep them.
    """
    match kind:
        case "group":
            groups = channels // math.gcd(channels, _GROUP_CHANNELS)
            return nn.GroupNorm(groups, channels, eps)
        case "batch":
            return nn.BatchNorm2d(channels, eps, momentum)
        case "synced":
            return SyncedNorm(channels, eps, momentum)
        case "frozen":
            return FrozenNorm(channels, eps, momentum)


def fold_norms(net: nn.Module) -> None:
    """Move each norm with stored statistics into the convolution before it, in place, for answering alone.

    Answers stay equal up to rounding. Norms by groups read the face itself and stay.
    """
    for layers in net.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for index in range(len(layers) - 1):
            conv, norm = layers[index], layers[index + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[index] = fuse_conv_bn_eval(conv, norm)
                layers[index + 1] = nn.Identity()


class CollectiveError(RuntimeError):
    """Another process did not answer in the middle of a pass through the network."""


def is_own_fault(error: Exception) -> bool:
    """Whether what broke off an exchange happened here: to this process's device, its memory, or its loader.

    The device's failures come up in whatever call follows them.
    """
    return isinstance(error, torch.AcceleratorError | torch.OutOfMemoryError) or is_loader_death(error)


class FrozenNorm(nn.BatchNorm2d):
    """Batch normalisation that never reads the batch: statistics stay as loaded (mean 0, variance 1 at the start)."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the stored statistics, in training as in evaluation."""
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class SyncedNorm(nn.BatchNorm2d):
    """Batch normalisation over the union of the batches of all processes; works on CPU with gloo.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, statistics over B, H, W of every rank. Values and gradients
    equal those of one process that holds the union. In one process it is batch normalisation. Every rank must call it,
    with at least one face; one that does not ends the others, forward or backward, with `CollectiveError`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by shared statistics in training, by the running ones in evaluation."""
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        x = input.float()
        mean, variance, number = self._shared_statistics(x)
        self._track(mean.detach(), variance.detach(), number)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    @staticmethod
    def _shared_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and biased variance (C,) over all ranks, and the number (1,) of values behind each."""
        # Two passes over rows of channels; on a CPU, var_mean takes several times as long.
        rows_NC = x.movedim(1, -1).flatten(0, 2)
        mean = rows_NC.mean(dim=0)
        variance = (rows_NC - mean).square().mean(dim=0)
        # Sums of squares cancel in fp32; the sums themselves are short enough to send in fp64.
        local_number = x.numel() / x.shape[1]
        moments = torch.stack([mean.double(), variance.double() + mean.double().square()]) * local_number
        number = torch.full((1,), local_number, dtype=torch.float64, device=x.device)
        total: Tensor = _AllReduceSum.apply(torch.cat([moments.flatten(), number]))  # type: ignore[no-untyped-call]
        first, second = (total[:-1] / total[-1]).view(2, -1)
        return first.float(), (second - first.square()).clamp(min=0).float(), total[-1:].detach().float()

    def _track(self, mean_C: Tensor, variance_C: Tensor, number_1: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * (number_1 / (number_1 - 1).clamp(min=1)), self.momentum)


class _AllReduceSum(torch.autograd.Function):
    """Sum over processes; the gradient of the sum of all losses is again a sum over processes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone()
    try:
        dist.all_reduce(total)
    except (RuntimeError, dist.DistError) as error:
        if is_own_fault(error):
            raise
        raise CollectiveError(str(error)) from error
    return total
