"""The shared trunk and the neck that gives each task its map."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import NetConfig
from model.net.mobile import MobileTrunk
from model.net.norm import Norm, make_norm

LANDMARK_STRIDE = 4
_ROUND = 4


@dataclass(frozen=True)
class TrunkSize:
    """Channels before `width`: of the stem (stride 2), of the stages (stride 4, 8, ...) with blocks, of the maps."""

    stem: int
    stages: tuple[tuple[int, int], ...]
    maps: int


SIZES = {
    "nano": TrunkSize(16, ((32, 1), (64, 2), (128, 2)), 48),
    "small": TrunkSize(32, ((48, 2), (96, 2), (192, 2)), 64),
    "base": TrunkSize(32, ((64, 2), (128, 2), (256, 3), (320, 2)), 96),
}


def scale_channels(channels: int, width: float) -> int:
    """`channels * width`, to the nearest multiple of 4 and at least 4."""
    return max(_ROUND, round(channels * width / _ROUND) * _ROUND)


def conv_norm(inputs: int, outputs: int, norm: Norm, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """A convolution that keeps size (up to `stride`), with its normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, make_norm(norm, outputs))


def start_shallow(layers: nn.Sequential) -> None:
    """Set the scale of the normalisation at the end to zero."""
    scale = layers[-1].weight
    assert isinstance(scale, nn.Parameter)
    nn.init.zeros_(scale)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: `relu(shortcut(x) + f(x))`."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, *, stride: int = 1) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, norm, stride=stride)
        self.second = conv_norm(outputs, outputs, norm)
        if norm == "frozen":
            # Nothing bounds the growth from block to block: start as the shortcut. Slower where a norm does bound it.
            start_shallow(self.second)
        self.stride = stride
        same = inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else conv_norm(inputs, outputs, norm, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        inner = self.second(F.relu(self.first(x), inplace=True))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        return F.relu(inner + self.shortcut(x), inplace=True)


class Trunk(nn.Module):
    """Residual stages at strides 4, 8, 16 (and 32 for `base`), shared by all tasks."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        size = SIZES[config.size]
        stem = scale_channels(size.stem, config.width)
        self.channels = [scale_channels(channels, config.width) for channels, _ in size.stages]
        self.stem = conv_norm(3, stem, config.norm, stride=2)
        stages = []
        for inputs, outputs, (_, blocks) in zip([stem, *self.channels], self.channels, size.stages, strict=False):
            first = Block(inputs, outputs, config.norm, stride=2)
            stages.append(nn.Sequential(first, *(Block(outputs, outputs, config.norm) for _ in range(blocks - 1))))
        self.stages = nn.ModuleList(stages)

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Image in -1..1 -> one map a stage, finest first."""
        x = F.relu(self.stem(image_BCHW), inplace=True)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


def make_trunk(config: NetConfig) -> Trunk | MobileTrunk:
    """The trunk that `config.trunk` names; both give levels at halving resolutions, the first at stride 4."""
    match config.trunk:
        case "residual":
            return Trunk(config)
        case "lite0":
            return MobileTrunk(config.norm)


class Neck(nn.Module):
    """The map of one task: all levels of the trunk summed from coarse to fine, down to `level`, then refined."""

    def __init__(self, channels: list[int], outputs: int, norm: Norm, *, level: int) -> None:
        super().__init__()
        self.level = level
        self.lateral = nn.ModuleList(conv_norm(count, outputs, norm, kernel=1) for count in channels[level:])
        self.refine = conv_norm(outputs, outputs, norm)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels of the trunk -> (B, outputs, H, W) at the stride of `level`."""
        merged: Tensor | None = None
        for lateral, x in zip(reversed(self.lateral), reversed(levels[self.level :]), strict=True):
            own = lateral(x)
            merged = own if merged is None else own + enlarge(merged)
        assert merged is not None
        refined: Tensor = self.refine(F.relu(merged))
        return F.relu(refined, inplace=True)


def enlarge(x_BCHW: Tensor) -> Tensor:
    """Twice the height and width, by bilinear interpolation."""
    return F.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


def normalise(image_BCHW: Tensor) -> Tensor:
    """uint8 0..255 -> -1..1."""
    return image_BCHW.to(torch.float32) / 127.5 - 1.0
