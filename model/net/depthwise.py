"""Depthwise convolution with gradients that stay fast on CPUs.

The library has reference loops for the gradient of the weights where the map is smaller than the kernel, and in bf16
for both gradients of a strided convolution and the weights' of a kernel above 3 x 3: most of a step's time in a network
of inverted bottlenecks on small faces.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

# Up to this side, kernels without stride have fast gradients in bf16 too.
_FAST_KERNEL = 3


class DepthwiseConv(nn.Conv2d):
    """`nn.Conv2d` with a filter a channel and no bias: same values, same gradients up to rounding."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H', W')."""
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            x, weight = (part.to(torch.get_autocast_dtype("cpu")) for part in (x, weight))
        if not (x.device.type == "cpu" and torch.is_grad_enabled() and self._is_slow(x)):
            return super().forward(x)
        filtered: Tensor = _Filtered.apply(x, weight, self.stride[0], int(self.padding[0]))  # type: ignore[no-untyped-call]
        return filtered

    def _is_slow(self, x: Tensor) -> bool:
        """Whether the library has a reference loop for a gradient."""
        halved = x.dtype == torch.bfloat16 and (self.stride[0] > 1 or self.kernel_size[0] > _FAST_KERNEL)
        return halved or _is_small(x, self.kernel_size[0], self.stride[0])


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        kernel, stride, padding = weight.shape[-1], ctx.stride, ctx.padding
        x_grad, weight_grad = None, None
        if ctx.needs_input_grad[0]:
            filters, back = (_widened(weight), _widened(grad)) if stride > 1 else (weight, grad)
            x_grad = conv2d_input(  # type: ignore[no-untyped-call]
                x.shape, filters, back, stride, padding, groups=x.shape[1]
            ).to(x.dtype)
        if ctx.needs_input_grad[1]:
            if _is_small(x, kernel, stride):
                weight_grad = _weight_gradient(x, grad, weight, stride, padding)
            else:
                weight_grad = conv2d_weight(  # type: ignore[no-untyped-call]
                    _widened(x), weight.shape, _widened(grad), stride, padding, groups=x.shape[1]
                ).to(weight.dtype)
        return x_grad, weight_grad, None, None


def _widened(part: Tensor) -> Tensor:
    """At least fp32, for which there are fast loops."""
    return part if part.dtype == torch.float64 else part.float()


def _is_small(x: Tensor, kernel: int, stride: int) -> bool:
    return bool(max(x.shape[-2:]) // stride < kernel)


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """For each place of the kernel, the sum of the products of what it read and what came back."""
    read_BHWC, back_BHWC = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    result = torch.zeros_like(weight)
    for row in range(weight.shape[-2]):
        read_rows, back_rows = _overlap(row - padding, stride, x.shape[-2], grad.shape[-2])
        for column in range(weight.shape[-1]):
            read_columns, back_columns = _overlap(column - padding, stride, x.shape[-1], grad.shape[-1])
            products = read_BHWC[:, read_rows, read_columns] * back_BHWC[:, back_rows, back_columns]
            result[:, 0, row, column] = products.sum(dim=(0, 1, 2))
    return result


def _overlap(shift: int, stride: int, read: int, back: int) -> tuple[slice, slice]:
    """Where `stride * i + shift` lies inside `read` cells, for i in 0..back - 1: those cells, and those i."""
    first = max(0, -(shift // stride))
    end = max(first, min(back, (read - 1 - shift) // stride + 1))
    start = stride * first + shift
    return slice(start, max(start, stride * (end - 1) + shift + 1), stride), slice(first, end)
