import pytest
import torch
from torch import nn

from model.net.pointwise import Pointwise, multiply_pointwise


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_product_has_the_values_of_the_convolution(bias, memory):
    conv = nn.Conv2d(5, 7, 1, bias=bias)
    x = torch.randn(3, 5, 4, 6).contiguous(memory_format=memory)
    torch.testing.assert_close(Pointwise(conv)(x), conv(x), rtol=1e-5, atol=1e-6)


def test_only_convolutions_of_one_cell_are_replaced():
    kept = [nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, groups=2)]
    net = multiply_pointwise(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1)), *kept))
    assert isinstance(net[0], Pointwise) and isinstance(net[1][0], Pointwise)
    assert [net[2], net[3], net[4]] == kept
