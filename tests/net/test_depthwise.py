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


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradients_agree_with_differences(stride: int) -> None:
    conv = DepthwiseConv(2, 5, stride, 2).double()
    x = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x,))
    bound = torch.func.functional_call
    assert torch.autograd.gradcheck(lambda weight: bound(conv, {"weight": weight}, (x.detach(),)), (conv.weight,))


@pytest.mark.parametrize(("kernel", "stride", "sides"), SHAPES)
def test_autocast_gives_the_gradients_of_fp32_within_its_precision(
    kernel: int, stride: int, sides: tuple[int, int]
) -> None:
    conv = DepthwiseConv(4, kernel, stride, (kernel - stride + 1) // 2)
    x = torch.randn(2, 4, *sides)
    with torch.autocast("cpu", torch.bfloat16):
        expected = F.conv2d(x, conv.weight, stride=stride, padding=conv.padding, groups=4)
        value, *gradients = _run(conv, x)
    assert value.dtype == torch.bfloat16 and torch.equal(value, expected)
    for gradient, want in zip(gradients, _run(conv, x)[1:], strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, want, rtol=0.05, atol=0.02 * float(want.abs().max()))


def _run(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, ...]:
    """The value, and the gradients of x and of the weights."""
    x = x.clone().requires_grad_()
    value = conv(x)
    return value.detach(), *torch.autograd.grad(value.float().square().sum(), [x, conv.weight])
