"""EfficientNet-Lite0 without its last stage and classifier, as a trunk that can start from ImageNet weights.

Tan & Le 2019, arXiv:1905.11946, in the variant for mobile devices: no squeeze-and-excitation, ReLU6 in place of swish.
"""

import math
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from model.net.depthwise import DepthwiseConv
from model.net.norm import Norm, make_norm

_STEM = 32
_EPS = 0.001
_MOMENTUM = 0.01


class Stage(NamedTuple):
    """A row of blocks; only the first one has the stride, and changes the number of channels.

    `kernel` is that of a block without stride.
    """

    kernel: int
    stride: int
    expand: int
    outputs: int
    blocks: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
)
# The last stage of each stride from 4 on.
_LEVELS = (1, 2, 4, 5)


class MobileTrunk(nn.Module):
    """Inverted residual stages at strides 4, 8, 16 and 32, shared by all tasks.

    Every border is padded by half a kernel. A convolution of stride 2 has an even kernel, one larger than the published
    odd one, so that a cell's centre is that of the cells it reads. With zeros in the added first row and column this is
    the published network, whose padding (TensorFlow's SAME) has one more on the right and below, and needs no copy.

    Its norm is of the batch in every case, as the published weights need: of all processes together where `norm` is
    `group`.
    """

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        norm = "synced" if norm == "group" else norm
        self.channels = [STAGES[index].outputs for index in _LEVELS]
        self.stem = _conv_norm(3, _STEM, norm, kernel=3, stride=2)
        inputs, stages = _STEM, []
        for stage in STAGES:
            rows = [(inputs, stage.stride)] + [(stage.outputs, 1)] * (stage.blocks - 1)
            stages.append(nn.Sequential(*(InvertedBlock(count, stage, norm, stride=stride) for count, stride in rows)))
            inputs = stage.outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Image in -1..1 -> one map a stride, finest first."""
        x = F.relu6(self.stem(image_BCHW), inplace=True)
        levels = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in _LEVELS:
                levels.append(x)
        return levels


class InvertedBlock(nn.Module):
    """Widen, filter each channel by itself, narrow without activation; beside a shortcut where the shape stays."""

    def __init__(self, inputs: int, stage: Stage, norm: Norm, *, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expand
        self.expand = _conv_norm(inputs, inner, norm) if stage.expand > 1 else None
        self.depthwise = _conv_norm(inner, inner, norm, kernel=stage.kernel, stride=stride, groups=inner)
        self.project = _conv_norm(inner, stage.outputs, norm)
        self.shortcut = stride == 1 and inputs == stage.outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        inner = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        inner = F.relu6(self.depthwise(inner), inplace=True)
        added: Tensor = self.project(inner)
        return x + added if self.shortcut else added


def _conv_norm(
    inputs: int, outputs: int, norm: Norm, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    size = kernel + stride - 1
    if groups > 1:
        conv: nn.Conv2d = DepthwiseConv(outputs, size, stride, kernel // 2)
    else:
        conv = nn.Conv2d(inputs, outputs, size, stride, kernel // 2, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 * groups / (size**2 * outputs)))
    return nn.Sequential(conv, make_norm(norm, outputs, eps=_EPS, momentum=_MOMENTUM))
