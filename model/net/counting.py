"""Size and cost of a network, so that a control can be made as large as what it controls."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.net.multitask import MultiTaskNet


def parameters(net: nn.Module) -> int:
    """Numbers that training moves and answering needs: without the association map and its slow copy."""
    counted = (item for name, item in net.named_parameters() if not name.startswith("association."))
    return sum(item.numel() for item in counted)


@torch.no_grad()
def flops(net: MultiTaskNet) -> int:
    """Multiply-adds of convolutions and matrix products for one face; norms, pooling and sampling are not counted."""
    size = net.config.input_size
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device))
    net.train(training)
    return int(counter.get_total_flops()) // 2
