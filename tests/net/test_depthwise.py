import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.net.depthwise import DepthwiseConv

# Kernel, stride, and sides of maps, on both sides of the border where the own gradient begins.
SHAPES = [(5, 1, (2, 2)), (5, 1, (4, 4)), (6, 2, (3, 5)), (3, 1, (1, 2)), (5, 1, (8, 8)), (4, 2, (9, 9))]


@pytest.mark.parametrize(("kernel", "stride", "sides"), SHAPES)
def test_value_and_gradients_are_those_of_the_library(kernel: int, stride: int, sides: tuple[int, int]) -> None:
    conv = DepthwiseConv(6, kernel, stride, (kernel - stride + 1) // 2)
    plain = nn.Conv2d(6, 6, kernel, stride, conv.padding, groups=6, bias=False)
    plain.load_state_dict(conv.state_dict())
    x = torch.randn(3, 6, *sides)
    (value, *gradients), (expected, *wanted) = _run(conv, x), _run(plain, x)
    assert torch.equal(value, expected)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_the_weights_agrees_with_differences() -> None:
    conv = DepthwiseConv(2, 5, 1, 2).double()
    x = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x,))
    bound = torch.func.functional_call
    assert torch.autograd.gradcheck(lambda weight: bound(conv, {"weight": weight}, (x.detach(),)), (conv.weight,))


def test_autocast_reaches_the_small_maps_too() -> None:
    conv = DepthwiseConv(4, 5, 1, 2)
    x = torch.randn(2, 4, 2, 2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        value = conv(x)
        expected = F.conv2d(x, conv.weight, padding=2, groups=4)
    assert value.dtype == torch.bfloat16 and torch.equal(value, expected)
    value.float().square().sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.dtype == torch.float32
    assert x.grad is not None and x.grad.dtype == torch.float32


def _run(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    x = x.clone().requires_grad_()
    value = conv(x)
    value.square().sum().backward()
    return value.detach(), x.grad, conv.weight.grad
