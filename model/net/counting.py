"""Size and cost of a network, so that a control can be made as large as what it controls."""

from bisect import bisect_left

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.config import NetConfig
from model.net.multitask import MultiTaskNet, build_net, only_answering
from model.schema import LANDMARKS

_STEP = 0.01


def parameters(net: nn.Module) -> int:
    """Numbers that training moves and answering needs: without the association map and its slow copy."""
    counted = (item for name, item in net.named_parameters() if not name.startswith("association."))
    return sum(item.numel() for item in counted)


def flops(net: MultiTaskNet) -> int:
    """Multiply-adds of convolutions and matrix products for one face; norms, pooling and sampling are not counted."""
    size = net.config.input_size
    device = next(net.parameters()).device
    with only_answering(net), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device))
    return int(counter.get_total_flops()) // 2


def matching_width(config: NetConfig) -> float:
    """The least `width` at which hard sharing has at least the parameters and the multiply-adds of `config`.

    To hundredths; both grow with width in steps, as channels are whole numbers.
    """
    net = bare_net(config)
    hard_sharing = config.residual.model_copy(update={"kind": "none"})

    def suffices(step: int) -> bool:
        width = config.width + step * _STEP
        control = bare_net(config.model_copy(update={"width": width, "residual": hard_sharing}))
        return parameters(control) >= parameters(net) and flops(control) >= flops(net)

    steps = range(round(config.width / _STEP) + 1)
    return round(config.width + bisect_left(steps, True, key=suffices) * _STEP, 4)


def bare_net(config: NetConfig) -> MultiTaskNet:
    """An untrained network without the association, to be counted."""
    return build_net(config, None, mean_shape_K2=np.zeros((LANDMARKS, 2)), seed=0)
