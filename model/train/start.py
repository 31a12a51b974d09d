"""Weights that a training takes over before its first step, in place of fresh ones."""

import logging
from pathlib import Path

import torch
from torch import nn

from model.errors import CheckpointError
from model.weights import WEIGHTS_FILE, read_tensors

logger = logging.getLogger(__name__)


@torch.no_grad()
def take_over(net: nn.Module, folder: Path) -> str:
    """Copy every tensor of equal name and shape into the network; the others keep their fresh values.

    Returns:
        The digest of the file.

    Raises:
        CheckpointError: no such file, a damaged one, or one of which no tensor fits.
    """
    given, digest = read_tensors(folder)
    state = net.state_dict()
    fitting = [name for name, tensor in given.items() if name in state and state[name].shape == tensor.shape]
    if not fitting:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE}: none of its {len(given)} tensors has the name and shape of one of the network; "
            "does train.net describe the network that they belong to?"
        )
    for name in fitting:
        state[name].copy_(given[name])
    fresh = len(state) - len(fitting)
    logger.info(
        "%s: %d tensors taken over, %d of the network start fresh, %d of the file have no place",
        *(folder, len(fitting), fresh, len(given) - len(fitting)),
    )
    return digest
