"""Answers of trained weights about face crops; evaluation and serving both ask here."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.errors import CheckpointError
from model.net.multitask import MultiTaskNet, build_net
from model.net.norm import fold_norms
from model.schema import FLIP_19, FLIP_68, FaceOutput
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

    def _batch(self, crops_BHWC: npt.NDArray[np.uint8]) -> tuple[Tensor | None, ...]:
        image = torch.from_numpy(np.ascontiguousarray(crops_BHWC)).to(self.device).permute(0, 3, 1, 2)
        straight = self._fields(self.net(image))
        if not self.meta.net.mirror:
            return straight
        points, sure, shares, points19 = self._fields(self.net(image.flip(-1)))
        turned = (_turn(points, FLIP_68), _reorder(sure, FLIP_68), shares, _turn(points19, FLIP_19))
        return tuple(None if a is None or b is None else (a + b) / 2 for a, b in zip(straight, turned, strict=True))

    def _fields(self, output: FaceOutput) -> tuple[Tensor | None, ...]:
        logits = output.logits_BE
        shares = None if logits is None else (logits.double() / self.meta.temperature).softmax(dim=-1)
        return output.landmarks_BK2, output.confidence_BK, shares, output.points19_BM2


def _reorder(values: Tensor | None, partner: npt.NDArray[np.int_]) -> Tensor | None:
    return None if values is None else values[:, torch.from_numpy(partner).to(values.device)]


def _turn(points_BK2: Tensor | None, partner: npt.NDArray[np.int_]) -> Tensor | None:
    """Points of a mirrored crop, in the crop itself."""
    points = _reorder(points_BK2, partner)
    return None if points is None else torch.stack([1 - points[..., 0], points[..., 1]], dim=-1)


def _join(fields: tuple[Tensor | None, ...]) -> npt.NDArray[np.float64] | None:
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
