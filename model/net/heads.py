"""Base heads: points from heatmaps by soft-argmax, classes from pooled features.

A heatmap has more cells than its crop: a margin of a tenth of its own side lies beyond each border, so that points
slightly outside the crop can be answered too.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.net.backbone import conv_norm
from model.net.norm import Norm
from model.schema import EXPRESSIONS

_EXPANSION = 4
# The spread, in crop units, at which confidence is one half: about a tenth of a face.
_HALF_CONFIDENCE = 0.08
# Before any learning each point lies near the mean shape; learned logits outweigh this soon.
_PRIOR_SPREAD = 0.2


def heat_margin(map_cells: int) -> int:
    """Cells that a heatmap has beyond each border of a map of `map_cells`."""
    return map_cells // 8


def heat_centres(cells: int, device: torch.device | None = None) -> Tensor:
    """Centres of the cells along one side of a heatmap, in crop units; some lie below 0 and above 1.

    `u_i = (i + 0.5 - m) / (cells - 2 m)` with the margin `m = cells // 10`, which undoes `heat_margin`.
    """
    margin = cells // 10
    return (torch.arange(cells, dtype=torch.float32, device=device) + 0.5 - margin) / (cells - 2 * margin)


def soft_argmax(heat_BKHW: Tensor) -> tuple[Tensor, Tensor]:
    """Centre of mass of the softmax of each map, and its spread.

    Always in fp32. The spread is the root of the variances' mean over x and y: zero for a map with one peak cell.

    Returns:
        Points (B, K, 2) and spread (B, K), in crop units.
    """
    with torch.autocast(heat_BKHW.device.type, enabled=False):
        mass = heat_BKHW.float().flatten(2).softmax(dim=-1)
        # From the middle of the crop, so that the difference of squares below keeps its digits.
        place_y, place_x = (heat_centres(cells, heat_BKHW.device) - 0.5 for cells in heat_BKHW.shape[-2:])
        y, x = (place.flatten() for place in torch.meshgrid(place_y, place_x, indexing="ij"))
        moments = mass @ torch.stack([x, y, x.square() + y.square()], dim=-1)
        centre = moments[..., :2]
        variance = (moments[..., 2] - centre.square().sum(dim=-1)).clamp(min=0) / 2
        return centre + 0.5, (variance + 1e-12).sqrt()


def confidence(spread_BK: Tensor) -> Tensor:
    """`1 / (1 + (spread / s)^2)`: 1 for a point mass, 1/2 at `s`, towards 0 for a map that says nothing."""
    return 1 / (1 + (spread_BK / _HALF_CONFIDENCE).square())


class HeatHead(nn.Module):
    """Heatmap logits of some points, read off a task's map."""

    prior: Tensor | None

    def __init__(self, channels: int, points: int, map_cells: int, mean_shape_K2: Tensor | None = None) -> None:
        super().__init__()
        self.margin = heat_margin(map_cells)
        self.spread = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.mix = nn.Conv2d(channels, points, 1, bias=False)
        nn.init.kaiming_normal_(self.spread.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.mix.weight, std=0.01)
        cells = map_cells + 2 * self.margin
        prior = None if mean_shape_K2 is None else _gaussian_logits(mean_shape_K2, cells)
        # Follows from the mean shape of meta.json: not a weight of its own.
        self.register_buffer("prior", prior, persistent=False)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, points, H + 2 margin, W + 2 margin)."""
        wide = F.pad(map_BCHW, (self.margin,) * 4, mode="replicate")
        heat: Tensor = self.mix(F.relu(self.spread(wide)))
        return heat.float() if self.prior is None else heat.float() + self.prior


class ExpressionHead(nn.Module):
    """Class logits of a task's map: widen, pool, drop, classify."""

    def __init__(self, channels: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.widen = conv_norm(channels, _EXPANSION * channels, norm, kernel=1)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(_EXPANSION * channels, len(EXPRESSIONS))
        nn.init.normal_(self.classify.weight, std=0.05)
        nn.init.zeros_(self.classify.bias)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, E)."""
        pooled = F.relu(self.widen(map_BCHW)).mean(dim=(2, 3))
        logits: Tensor = self.classify(self.dropout(pooled))
        return logits.float()


def _gaussian_logits(mean_shape_K2: Tensor, cells: int) -> Tensor:
    place = heat_centres(cells)
    square = (place - mean_shape_K2.float()[..., None]).square()  # (K, 2, cells)
    return -(square[:, 1, :, None] + square[:, 0, None, :])[None] / (2 * _PRIOR_SPREAD**2)
