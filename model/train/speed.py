"""How near a training comes to what its device can do."""

import time
from math import inf

import torch

from model.config import TrainConfig
from model.net.counting import bare_net, flops
from model.train.precision import computes_bf16

# Of the matrices: enough work to fill the device, milliseconds of it.
_SIDE = {"cpu": 512, "cuda": 8192}
_TRIES = 5
_PASSES = 3
"""A step costs about three forward passes: its own, and the gradients of values and of weights."""


def faces_at_the_limit(config: TrainConfig, device: torch.device) -> float:
    """Faces a second of one process, did all their multiply-adds run as fast as one large matrix product does.

    Training's share of it is what the literature calls model FLOPs utilisation (Chowdhery et al. 2022, appendix B).
    """
    return multiply_adds_a_second(device, config.precision) / (_PASSES * flops(bare_net(config.net)))


def multiply_adds_a_second(device: torch.device, precision: str) -> float:
    """The best of a few products of square matrices, in the precision in which the device trains."""
    side = _SIDE[device.type]
    dtype = torch.bfloat16 if precision == "bf16" and computes_bf16(device.type) else torch.float32
    matrix = torch.full((side, side), 1 / side, device=device, dtype=dtype)
    best = inf
    for _ in range(_TRIES):
        begun = time.perf_counter()
        # Reading a value waits for a device that works beside the program.
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - begun)
    return float(side**3) / best
