"""The residual exchange: what each task adds to the other, at the level of features and of predictions.

The last layer of each branch starts at zero and nothing follows it, so that training starts from hard sharing exactly.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ResidualConfig
from model.net.backbone import enlarge
from model.net.shape import CODE_SCALE, SHAPE_CODE, ShapeCode
from model.schema import EXPRESSIONS, LANDMARKS

_POOL = 2
_SAMPLED_CHANNELS = 8
# Points move in crop units: with inputs of order one to its last layer, each optimiser step would throw all points of a
# face several pixels about, and the base heatmaps would learn to follow that.
_POINT_SCALE = 0.05


class Base(NamedTuple):
    """What the exchange reads: the two maps and the two base answers."""

    map_l_BCHW: Tensor
    map_e_BCHW: Tensor
    landmarks_BK2: Tensor
    logits_BE: Tensor


class Residuals(NamedTuple):
    """What each branch adds, None where it is off: to the maps (`g`, `h`), to the answers (`r_l`, `r_e`)."""

    g_BCHW: Tensor | None
    h_BCHW: Tensor | None
    r_l_BK2: Tensor | None
    r_e_BE: Tensor | None


class Exchange(nn.Module):
    """The branches that a configuration switches on; a task with both of its levels off gets no residual.

    With features off, a task's prediction branch pools its own unchanged map; with predictions off, it reads the pooled
    map alone. Kind `self` feeds the same blocks from the task's own stream: a control for capacity.
    """

    places_K2: Tensor

    def __init__(self, config: ResidualConfig, channels: int, mean_shape_K2: Tensor) -> None:
        super().__init__()
        self.own = config.kind == "self"
        self.code = ShapeCode(mean_shape_K2)
        # Where `self` samples the expression map: places that no landmark estimate moves.
        self.register_buffer("places_K2", mean_shape_K2.float().clone(), persistent=False)
        hidden = config.hidden
        self.g = FeatureBranch(channels, config.channels) if config.features_to_landmarks else None
        self.h = FeatureBranch(channels, config.channels) if config.features_to_expression else None
        self.r_l: PredictionBranch | None = None
        self.r_e: PredictionBranch | None = None
        if config.features_to_landmarks or config.predictions_to_landmarks:
            known = SHAPE_CODE if self.own else SHAPE_CODE + len(EXPRESSIONS)
            facts = known if config.predictions_to_landmarks else 0
            outputs = 2 * LANDMARKS
            self.r_l = PredictionBranch(channels, hidden, facts=facts, outputs=outputs, scale=_POINT_SCALE)
        if config.features_to_expression or config.predictions_to_expression:
            known = len(EXPRESSIONS) if self.own else SHAPE_CODE
            facts = known if config.predictions_to_expression else 0
            self.r_e = PredictionBranch(channels, hidden, facts=facts, outputs=len(EXPRESSIONS))

    def forward(self, base: Base, donor: Base | None = None) -> Residuals:
        """All residuals of a batch; base answers used as inputs carry no gradient back.

        Args:
            donor: what each task reads of the other, if not of the same faces: a probe of whether it matters. Kind
                `self` reads nothing of the other task.
        """
        donor = base if donor is None or self.own else donor
        # Both branches work at the coarser resolution, so that `cross` and `self` cost the same.
        coarse_l = F.avg_pool2d(donor.map_l_BCHW, 2)
        from_l, from_e = (donor.map_e_BCHW, coarse_l) if self.own else (coarse_l, donor.map_e_BCHW)
        g = None if self.g is None else enlarge(self.g(from_e))
        h = None if self.h is None else self.h(from_l)
        return Residuals(g, h, self._to_landmarks(base, g, donor), self._to_expression(base, h, donor))

    def _code(self, base: Base) -> Tensor:
        code: Tensor = self.code(base.landmarks_BK2.detach()) * CODE_SCALE
        return code

    def _to_landmarks(self, base: Base, g: Tensor | None, donor: Base) -> Tensor | None:
        if self.r_l is None:
            return None
        map_l = base.map_l_BCHW if g is None else base.map_l_BCHW + g
        facts = self._code(base)
        if not self.own:
            facts = torch.cat([facts, _shares(donor)], dim=1)
        added: Tensor = self.r_l(map_l, facts, (map_l, base.landmarks_BK2.detach()))
        return added.view(-1, LANDMARKS, 2)

    def _to_expression(self, base: Base, h: Tensor | None, donor: Base) -> Tensor | None:
        if self.r_e is None:
            return None
        map_e = base.map_e_BCHW if h is None else base.map_e_BCHW + h
        if self.own:
            # A recorded graph would take `len` for a constant.
            facts, sampled = _shares(base), (base.map_e_BCHW, self.places_K2.expand(map_e.shape[0], -1, -1))
        else:
            facts, sampled = self._code(donor), (donor.map_l_BCHW, donor.landmarks_BK2.detach())
        added: Tensor = self.r_e(map_e, facts, sampled)
        return added


class FeatureBranch(nn.Module):
    """`g` and `h`: a small stack of convolutions whose output is added to the other task's map."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, hidden, 3, padding=1), nn.GELU()
        )
        self.last = start_at_zero(nn.Conv2d(hidden, channels, 1))

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), zero before training."""
        added: Tensor = self.last(self.inner(map_BCHW))
        return added


class PredictionBranch(nn.Module):
    """`r_l` and `r_e`: from a pooled map, facts known about the face, and a map sampled at the points.

    Without `facts` the level of predictions is off: the branch reads the pooled map alone.
    """

    def __init__(self, channels: int, hidden: int, *, facts: int, outputs: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.reduce = nn.Linear(channels, _SAMPLED_CHANNELS) if facts else None
        inputs = channels * _POOL**2 + (facts + LANDMARKS * _SAMPLED_CHANNELS if facts else 0)
        self.inner = nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.last = start_at_zero(nn.Linear(hidden, outputs))

    def forward(self, map_BCHW: Tensor, facts_BF: Tensor, sampled: tuple[Tensor, Tensor]) -> Tensor:
        """(B, C, H, W), facts and (map, places in crop units) to sample it at -> (B, outputs) in fp32."""
        inputs = [F.adaptive_avg_pool2d(map_BCHW, _POOL).flatten(1).float()]
        if self.reduce is not None:
            inputs += [facts_BF, self.reduce(sample_at(*sampled)).flatten(1).float()]
        added: Tensor = self.last(self.scale * self.inner(torch.cat(inputs, dim=1)))
        return added.float()


class CrossStitch(nn.Module):
    """A learned mix of the two maps, channel by channel: `f_l' = a f_l + b f_e`, `f_e' = c f_e + d f_l`.

    Starts at `a = c = 1`, `b = d = 0`, which is hard sharing; a direction that is off has no `b` or `d`.
    """

    def __init__(self, config: ResidualConfig, channels: int) -> None:
        super().__init__()
        self.keep_l = nn.Parameter(torch.ones(channels))
        self.keep_e = nn.Parameter(torch.ones(channels))
        self.take_l = nn.Parameter(torch.zeros(channels)) if config.features_to_landmarks else None
        self.take_e = nn.Parameter(torch.zeros(channels)) if config.features_to_expression else None

    def forward(self, map_l_BCHW: Tensor, map_e_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Both maps, mixed, each at its own resolution."""
        mixed_l = self.keep_l[:, None, None] * map_l_BCHW
        mixed_e = self.keep_e[:, None, None] * map_e_BCHW
        if self.take_l is not None:
            mixed_l = mixed_l + self.take_l[:, None, None] * enlarge(map_e_BCHW)
        if self.take_e is not None:
            mixed_e = mixed_e + self.take_e[:, None, None] * F.avg_pool2d(map_l_BCHW, 2)
        return mixed_l, mixed_e


def _shares(base: Base) -> Tensor:
    return base.logits_BE.detach().float().softmax(dim=-1)


def sample_at(map_BCHW: Tensor, points_BK2: Tensor) -> Tensor:
    """Features (B, K, C) under points in crop units, bilinear; beyond the border, those of the border."""
    grid = (2 * points_BK2 - 1).unsqueeze(2)  # (B, K, 1, 2)
    with torch.autocast(map_BCHW.device.type, enabled=False):
        sampled = F.grid_sample(map_BCHW.float(), grid.float(), padding_mode="border", align_corners=False)
    return sampled.squeeze(-1).transpose(1, 2)


def start_at_zero(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Set weight and bias to zero."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
