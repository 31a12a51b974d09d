"""Answers of trained weights about face crops; evaluation and serving both ask here."""

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.errors import CheckpointError
from model.net.multitask import MultiTaskNet, build_net
from model.net.norm import fold_norms
from model.net.pointwise import multiply_pointwise
from model.schema import FLIP_19, FLIP_68
from model.weights import Meta, load_weights

_BATCH = 64


class Answers(NamedTuple):
    """What the network says about B crops; points in crop units, a field is None where its task is absent.

    `confidence_BK` lies in 0..1, surer is higher; `probabilities_BE` are calibrated by the temperature of the meta.
    """

    points_BK2: npt.NDArray[np.float64] | None
    confidence_BK: npt.NDArray[np.float64] | None
    probabilities_BE: npt.NDArray[np.float64] | None
    points19_BM2: npt.NDArray[np.float64] | None


class FaceNet:
    """Trained weights, ready to answer in fp32; puts the network it is given into evaluation mode."""

    def __init__(self, net: MultiTaskNet, meta: Meta, device: torch.device | str = "cpu") -> None:
        self.meta = meta
        self.device = torch.device(device)
        self.net = net.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._forward: Callable[[Tensor], dict[str, Tensor]] = _Fields(self.net)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read `weights.safetensors` and `meta.json`; norms with stored statistics are folded into convolutions.

        Raises:
            CheckpointError: unsafe or damaged files, or tensors of another architecture, by name.
        """
        state, meta = load_weights(folder)
        net = build_net(meta.net, None, mean_shape_K2=np.asarray(meta.mean_shape), seed=0)
        _check_state(state, net.state_dict(), folder)
        net.load_state_dict(state)
        fold_norms(net.eval())
        return cls(net, meta, device)

    @torch.inference_mode()
    def record(self) -> Self:
        """Answer from now on by recorded operations of a copy: the same answers, without the Python that calls them.

        That is a third of the time of a single face. Hooks of `net` are not called any more.
        """
        net = _Fields(multiply_pointwise(deepcopy(self.net)))
        size = self.meta.net.input_size
        image = torch.zeros(2, 3, size, size, dtype=torch.uint8, device=self.device)
        with warnings.catch_warnings():
            # What is to replace `trace` compiles, and needs a compiler where the endpoint runs.
            warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is deprecated", category=DeprecationWarning)
            # Python decides by the sizes of maps, which the input size fixes.
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
            self._forward = torch.jit.trace(net, image, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        return self

    @torch.inference_mode()
    def answer(self, crops_BHWC: npt.NDArray[np.uint8]) -> Answers:
        """Answer about RGB crops of `net.input_size` pixels, 64 at a time.

        With `net.mirror`, each answer is the mean of those about the crop and about its mirror image, turned back.

        Raises:
            CheckpointError: crops of another size or type than the weights read.
        """
        size = self.meta.net.input_size
        if crops_BHWC.dtype != np.uint8 or crops_BHWC.shape[1:] != (size, size, 3):
            raise CheckpointError(
                f"crops of {crops_BHWC.dtype} {crops_BHWC.shape[1:]}, these weights read uint8 ({size}, {size}, 3); "
                "crop with `crop_face` at the size that meta.json names"
            )
        starts = range(0, max(len(crops_BHWC), 1), _BATCH)
        parts = [self._batch(crops_BHWC[start : start + _BATCH]) for start in starts]
        return Answers(*(_join(fields) for fields in zip(*parts, strict=True)))

    def _batch(self, crops_BHWC: npt.NDArray[np.uint8]) -> list[Tensor | None]:
        image = torch.from_numpy(np.ascontiguousarray(crops_BHWC)).to(self.device).permute(0, 3, 1, 2)
        if self.meta.net.mirror:
            image = torch.cat([image, image.flip(-1)])
        given = self._forward(image)
        logits = given.get("logits_BE")
        shares = None if logits is None else (logits.double() / self.meta.temperature).softmax(dim=-1)
        fields = [given.get("landmarks_BK2"), given.get("confidence_BK"), shares, given.get("points19_BM2")]
        if not self.meta.net.mirror:
            return fields
        return [None if field is None else _mean(field, turn) for field, turn in zip(fields, _TURNS, strict=True)]


class _Fields(nn.Module):
    """What answers are made of, by name: a recorded graph knows no None."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image_BCHW: Tensor) -> dict[str, Tensor]:
        output = self.net(image_BCHW)._asdict()
        names = ("landmarks_BK2", "confidence_BK", "logits_BE", "points19_BM2")
        return {name: output[name] for name in names if output[name] is not None}


def _mean(both: Tensor, turn: Callable[[Tensor], Tensor]) -> Tensor:
    """Of the answers about crops and those about their mirror images, which follow them."""
    number = len(both) // 2
    return (both[:number] + turn(both[number:])) / 2


def _reorder(values: Tensor, partner: npt.NDArray[np.int_]) -> Tensor:
    return values[:, torch.from_numpy(partner).to(values.device)]


def _turn(points_BK2: Tensor, partner: npt.NDArray[np.int_]) -> Tensor:
    """Points of a mirrored crop, in the crop itself."""
    points = _reorder(points_BK2, partner)
    return torch.stack([1 - points[..., 0], points[..., 1]], dim=-1)


_TURNS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda points: _turn(points, FLIP_68),
    lambda sure: _reorder(sure, FLIP_68),
    lambda shares: shares,
    lambda points19: _turn(points19, FLIP_19),
)
"""How each answer about a mirror image is turned back, in the order of `Answers`."""


def _join(fields: Sequence[Tensor | None]) -> npt.NDArray[np.float64] | None:
    present = [field.double().cpu() for field in fields if field is not None]
    return torch.cat(present).numpy() if present else None


def _check_state(given: dict[str, Tensor], expected: dict[str, Tensor], folder: Path) -> None:
    problems = [f"missing {name}" for name in expected if name not in given]
    problems += [f"unexpected {name}" for name in given if name not in expected]
    problems += [
        f"{name} has shape {tuple(given[name].shape)}, need {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise CheckpointError(
            f"{folder}: the tensors do not fit the network that meta.json describes: {shown}; "
            "were the two files written by one training, and by this version?"
        )
