"""From the shape of a face to its apparent expression.

The target of this map is always a human label, never an answer of the network: a map fitted to our own answers and fed
back to them would teach nothing.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.config import AssociationConfig
from model.net.shape import CODE_SCALE, SHAPE_CODE, ShapeCode, shape_code
from model.schema import EXPRESSIONS

__all__ = ["AssociationMap", "shape_code"]


class AssociationMap(nn.Module):
    """The map `a`, its slow copy `a'`, and the shape code both read.

    `a` (this module's `forward`) learns from labels; `a'` (`slow`) follows it by `update_ema` alone, and passes
    gradient to its input only. `prior_E` holds the class shares that `a` was trained under.
    """

    prior_E: Tensor

    def __init__(self, config: AssociationConfig, mean_shape_K2: Tensor) -> None:
        super().__init__()
        self.ema_decay = config.ema_decay
        self.code = ShapeCode(mean_shape_K2)
        self.map = nn.Sequential(
            nn.Linear(SHAPE_CODE, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, len(EXPRESSIONS)),
        )
        self.map_slow = copy.deepcopy(self.map).requires_grad_(False)
        self.register_buffer("prior_E", torch.full((len(EXPRESSIONS),), 1 / len(EXPRESSIONS)))

    def forward(self, code_BZ: Tensor) -> Tensor:
        """Logits (B, E) of `a`, in fp32; noise on the code, in inter-ocular distances, is the caller's."""
        return _logits(self.map, code_BZ)

    def slow(self, code_BZ: Tensor) -> Tensor:
        """Logits (B, E) of `a'`, in fp32."""
        return _logits(self.map_slow, code_BZ)

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move `a'` towards `a`: `a' = d a' + (1 - d) a`."""
        for slow, fast in zip(self.map_slow.parameters(), self.map.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.ema_decay)

    @torch.no_grad()
    def set_prior(self, shares: Sequence[float] | Tensor) -> None:
        """Keep the class shares (any positive scale) under which `a` is trained."""
        values = torch.as_tensor(shares, dtype=self.prior_E.dtype, device=self.prior_E.device)
        self.prior_E.copy_(values / values.sum())


def _logits(layers: nn.Module, code_BZ: Tensor) -> Tensor:
    with torch.autocast(code_BZ.device.type, enabled=False):
        logits: Tensor = layers(code_BZ.float() * CODE_SCALE)
        return logits
