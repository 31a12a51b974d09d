"""What a training changes from step to step, and the network's answers in its precision."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.config import TrainConfig
from model.net.multitask import MultiTaskNet
from model.schema import FaceBatch, FaceOutput
from model.train.checkpoint import Progress
from model.train.distributed import Team
from model.train.optim import Ema
from model.train.precision import computes_bf16
from model.train.weighting import Weighting


@dataclass
class Learner:
    """All that a step changes or reads.

    `seen_E` counts expression labels met in training, over all processes, from one of each on.
    """

    config: TrainConfig
    seed: int
    team: Team
    net: MultiTaskNet
    ema: Ema
    weighting: Weighting
    optimizer: torch.optim.Optimizer
    progress: Progress
    steps_per_epoch: int
    seen_E: Tensor

    @property
    def number(self) -> int:
        """Steps done since training began."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step


def forward_net(net: nn.Module, image_BCHW: Tensor, config: TrainConfig) -> FaceOutput:
    """The network's answers in the precision of the configuration, where the device computes in it."""
    if config.channels_last:
        image_BCHW = image_BCHW.contiguous(memory_format=torch.channels_last)
    device = image_BCHW.device.type
    enabled = config.precision == "bf16" and computes_bf16(device)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
        output: FaceOutput = net(image_BCHW)
    return output


def on_device(batch: FaceBatch, device: torch.device) -> FaceBatch:
    """The batch where the network is."""
    return FaceBatch(*(item.to(device, non_blocking=True) for item in batch))
