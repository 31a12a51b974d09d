"""The network: one trunk, a map and a base head a task, the residual exchange, and the association map beside them."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.config import AssociationConfig, NetConfig
from model.net.association import AssociationMap
from model.net.backbone import LANDMARK_STRIDE, SIZES, Neck, make_trunk, normalise, scale_channels
from model.net.heads import ExpressionHead, HeatHead, confidence, soft_argmax
from model.net.residual import Base, CrossStitch, Exchange, Residuals
from model.schema import LANDMARKS, LANDMARKS_19, FaceOutput

_ASSOCIATION = "association."


class MultiTaskNet(nn.Module):
    """Base answers from unexchanged maps, final answers with the residuals added.

    `tasks` of one name leaves out the other task's map and head, and the exchange. Build it with `build_net`.

    Attributes:
        association: absent in a network that is built to answer only.
    """

    association: AssociationMap

    def __init__(self, config: NetConfig, mean_shape_K2: Tensor, seed: int) -> None:
        super().__init__()
        self.config = config
        channels = scale_channels(SIZES[config.size].maps, config.width)
        self.exchange: Exchange | None = None
        self.stitch: CrossStitch | None = None
        with _own_seed(seed, "trunk"):
            self.trunk = make_trunk(config)
        if "landmarks" in config.tasks:
            with _own_seed(seed, "landmarks"):
                self._build_landmarks(channels, mean_shape_K2)
        if "expression" in config.tasks:
            with _own_seed(seed, "expression"):
                self.neck_e = Neck(self.trunk.channels, channels, config.norm, level=1)
                self.head_e = ExpressionHead(channels, config.norm, config.dropout)
        if len(set(config.tasks)) > 1:
            with _own_seed(seed, "residual"):
                self._build_exchange(channels, mean_shape_K2)

    def _build_landmarks(self, channels: int, mean_shape_K2: Tensor) -> None:
        cells = self.config.input_size // LANDMARK_STRIDE
        self.neck_l = Neck(self.trunk.channels, channels, self.config.norm, level=0)
        self.head_l = HeatHead(channels, LANDMARKS, cells, mean_shape_K2)
        if self.config.aflw_head:
            self.head_19 = HeatHead(channels, LANDMARKS_19, cells)

    def _build_exchange(self, channels: int, mean_shape_K2: Tensor) -> None:
        match self.config.residual.kind:
            case "cross" | "self":
                self.exchange = Exchange(self.config.residual, channels, mean_shape_K2)
            case "cross_stitch":
                self.stitch = CrossStitch(self.config.residual, channels)
            case "none":
                pass

    def forward(self, image_BCHW: Tensor) -> FaceOutput:
        """uint8 faces of `input_size` pixels -> both answers, in fp32; also under autocast to bf16."""
        return self.answer(image_BCHW)[0]

    def answer(
        self, image_BCHW: Tensor, donors_B: Tensor | None = None
    ) -> tuple[FaceOutput, Base | None, Residuals | None]:
        """As `forward`, with what the exchange read and what it added.

        Args:
            donors_B: for each face, the face of the batch whose other task it listens to (itself if not given).
        """
        map_l, map_e = self._maps(image_BCHW)
        heat, points, sure, points19, logits = None, None, None, None, None
        if map_l is not None:
            heat = self.head_l(map_l)
            points, spread = soft_argmax(heat)
            sure = confidence(spread)
            if self.config.aflw_head:
                points19, _ = soft_argmax(self.head_19(map_l))
        if map_e is not None:
            logits = self.head_e(map_e)
        output = FaceOutput(points, points, heat, sure, points19, logits, logits)
        if self.exchange is None or map_l is None or map_e is None or points is None or logits is None:
            return output, None, None
        base = Base(map_l, map_e, points, logits)
        added = self.exchange(base, None if donors_B is None else Base(*(part[donors_B] for part in base)))
        return _add(output, added), base, added

    def _maps(self, image_BCHW: Tensor) -> tuple[Tensor | None, Tensor | None]:
        levels = self.trunk(normalise(image_BCHW))
        map_l = self.neck_l(levels) if "landmarks" in self.config.tasks else None
        map_e = self.neck_e(levels) if "expression" in self.config.tasks else None
        if self.stitch is not None and map_l is not None and map_e is not None:
            map_l, map_e = self.stitch(map_l, map_e)
        return map_l, map_e


def build_net(
    config: NetConfig,
    association: AssociationConfig | None,
    *,
    mean_shape_K2: Tensor | npt.ArrayLike,
    seed: int,
) -> MultiTaskNet:
    """A network with fresh weights; the global random state stays as it was.

    Each part draws from a generator of its own: at one seed, trunk and base heads are bitwise equal whatever the
    exchange, the association or the other task's presence. Without `association` the network can only answer.
    """
    mean_shape = torch.as_tensor(np.asarray(mean_shape_K2), dtype=torch.float64)
    net = MultiTaskNet(config, mean_shape, seed)
    if association is not None:
        with _own_seed(seed, "association"):
            net.association = AssociationMap(association, mean_shape)
    return net


def export_state(source: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that answering needs: the state without the association map."""
    state = source.state_dict() if isinstance(source, nn.Module) else source
    return {name: tensor for name, tensor in state.items() if not name.startswith(_ASSOCIATION)}


@contextmanager
def only_answering(net: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards the mode is as before."""
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(training)


def residual_ratios(net: MultiTaskNet, image_BCHW: Tensor) -> dict[str, float]:
    """Size of each branch's addition over that of what it is added to, by branch name, for one batch.

    Sizes are root mean squares: of `g` over `f_l`, `h` over `f_e`, `r_l` over the base points around their own centre,
    `r_e` over the base logits around their own mean. Branches that are off are left out.
    """
    with only_answering(net):
        _, base, added = net.answer(image_BCHW)
    if base is None or added is None:
        return {}
    points = base.landmarks_BK2 - base.landmarks_BK2.mean(dim=1, keepdim=True)
    logits = base.logits_BE - base.logits_BE.mean(dim=1, keepdim=True)
    pairs: Sequence[tuple[str, Tensor | None, Tensor]] = (
        ("g", added.g_BCHW, base.map_l_BCHW),
        ("h", added.h_BCHW, base.map_e_BCHW),
        ("r_l", added.r_l_BK2, points),
        ("r_e", added.r_e_BE, logits),
    )
    return {name: float(_size(part) / _size(whole).clamp(min=1e-12)) for name, part, whole in pairs if part is not None}


def _add(output: FaceOutput, added: Residuals) -> FaceOutput:
    """Final answers; base answers keep their place."""
    if added.r_l_BK2 is not None and output.landmarks_base_BK2 is not None:
        output = output._replace(landmarks_BK2=output.landmarks_base_BK2 + added.r_l_BK2)
    if added.r_e_BE is not None and output.logits_base_BE is not None:
        output = output._replace(logits_BE=output.logits_base_BE + added.r_e_BE)
    return output


def _size(values: Tensor) -> Tensor:
    return values.float().square().mean().sqrt()


@contextmanager
def _own_seed(seed: int, part: str) -> Iterator[None]:
    """A random state that depends on the seed and the part's name alone; the global state returns afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{seed}/{part}".encode()))
        yield
