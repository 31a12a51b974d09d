"""Size and cost of a network, so that a control can be made as large as what it controls."""

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.config import NetConfig
from model.net.multitask import MultiTaskNet, build_net, only_answering
from model.schema import LANDMARKS

_WIDEST = 2.0
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
    """The `width` at which hard sharing costs as many multiply-adds as `config` with its exchange.

    Cost grows with width, in steps: the channels are whole numbers. The nearest step is chosen.
    """
    target = flops(_bare(config))
    exchange_free = config.residual.model_copy(update={"kind": "none"})

    def excess(width: float) -> int:
        return flops(_bare(config.model_copy(update={"width": width, "residual": exchange_free}))) - target

    low, high = 0, round((_WIDEST - 1) * config.width / _STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(config.width + middle * _STEP) < 0 else (low, middle)
    nearest = min((low, high), key=lambda step: abs(excess(config.width + step * _STEP)))
    return round(config.width + nearest * _STEP, 4)


def _bare(config: NetConfig) -> MultiTaskNet:
    return build_net(config, None, mean_shape_K2=np.zeros((LANDMARKS, 2)), seed=0)
