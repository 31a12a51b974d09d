"""Held-out metrics of an epoch, exact over any number of processes: every face counts once, in the order of its row."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from model.data.loader import FaceLoader
from model.evaluation import metrics
from model.net.multitask import MultiTaskNet, residual_ratios
from model.schema import EXPRESSIONS, NO_LABEL, FaceBatch, FaceOutput
from model.train.association import excess
from model.train.interrupt import Notice
from model.train.learner import Learner, forward_net, on_device

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_E = len(EXPRESSIONS)
_BRANCHES = ("g", "h", "r_l", "r_e")
# Columns of the table that the processes exchange, one row a face.
_COLUMNS = {
    "row": 1,
    "label": 1,
    "nme": 1,
    "nme_base": 1,
    "branches": 4,
    "logits": _E,
    "logits_base": _E,
    "map": _E,
    "map_loss": 1,
    "movement": 1,
}


class Held(NamedTuple):
    """What validation found: metrics by name, temperature of the class logits, median loss of the slow map."""

    metrics: dict[str, float]
    temperature: float
    map_f1: float
    map_margin: float
    chance_f1: float


def validate(learner: Learner, loader: FaceLoader, notice: Notice) -> Held | None:
    """Metrics of the moving-average network; None if any process was asked to end meanwhile.

    Names: `val/nme_interocular` (percent of the distance between the outer eye corners), `val/accuracy` and
    `val/macro_f1` (percent), each with `_base` for the answer before the exchange; `residual/...` the size of each
    branch over what it is added to, on the first batch of each process; `assoc/...` for the association map. A metric
    without faces is absent.
    """
    learner.team.average_buffers(learner.net)
    learner.ema.take_buffers()
    tables = [torch.zeros(0, sum(_COLUMNS.values()), dtype=torch.float64)]
    for batch in loader:
        if notice.given:
            break
        tables.append(_face_table(learner, on_device(batch, learner.team.device), first=len(tables) == 1))
    if learner.team.any(notice.given):
        return None
    table = learner.team.gather_rows(torch.cat(tables).to(learner.team.device)).cpu().numpy()
    return _summary(table[np.argsort(table[:, 0], kind="stable")])


def chance_macro_f1(label_N: Labels) -> float:
    """Expected macro-F1 of guessing uniformly: the mean of `2 p / (1 + 7 p)` over classes of share `p`.

    A guesser hits a class with precision `p` and recall 1/7.
    """
    known = label_N[label_N != NO_LABEL]
    shares = np.bincount(known, minlength=_E) / max(len(known), 1)
    shares = shares[shares > 0]
    return float(np.mean(2 * shares / (1 + _E * shares))) if len(shares) else 0.0


def score(values: dict[str, float]) -> float:
    """By what the best epoch is chosen: `log(macro-F1) - log(NME)`, both in percent; the higher, the better.

    A relative gain in one task weighs as much as in the other, and no loss weight enters. A task without a metric, or
    absent from the network, is left out.
    """
    floor = 0.01
    f1, nme = values.get("val/macro_f1"), values.get("val/nme_interocular")
    total = math.log(max(f1, floor)) if f1 is not None else 0.0
    return total - (math.log(max(nme, floor)) if nme is not None else 0.0)


def _face_table(learner: Learner, batch: FaceBatch, *, first: bool) -> Tensor:
    """One row a face, in the order of `_COLUMNS`; NaN where a value is unknown."""
    net = learner.ema.net
    with torch.no_grad():
        output = forward_net(net, batch.image_BCHW, learner.config)
    faces = len(batch.row_B)
    blank = torch.full((faces, 1), torch.nan, dtype=torch.float64)
    values = {name: blank.expand(faces, width).clone() for name, width in _COLUMNS.items()}
    values["row"][:, 0], values["label"][:, 0] = batch.row_B, batch.label_B
    if first:
        ratios = residual_ratios(net, batch.image_BCHW)
        values["branches"][:] = torch.tensor([ratios.get(name, torch.nan) for name in _BRANCHES])
    if output.landmarks_BK2 is not None and output.landmarks_base_BK2 is not None:
        _fill_landmarks(values, output, batch)
        if learner.config.association.learn_weight > 0 and output.logits_BE is not None:
            _fill_map(values, net, output.landmarks_BK2, batch.label_B, learner.progress.transfer_margin)
    if output.logits_BE is not None and output.logits_base_BE is not None:
        values["logits"][:] = output.logits_BE
        values["logits_base"][:] = output.logits_base_BE
    return torch.cat(list(values.values()), dim=1)


def _fill_landmarks(values: dict[str, Tensor], output: FaceOutput, batch: FaceBatch) -> None:
    truth, mask = _array(batch.landmarks_BK2), batch.landmarks_mask_BK.cpu().numpy()
    lengths = metrics.normaliser_lengths("inter_ocular", truth)
    final, base = _array(output.landmarks_BK2), _array(output.landmarks_base_BK2)
    values["nme"][:, 0] = torch.from_numpy(metrics.nme(final, truth, lengths, mask))
    values["nme_base"][:, 0] = torch.from_numpy(metrics.nme(base, truth, lengths, mask))


def _fill_map(values: dict[str, Tensor], net: MultiTaskNet, points_BK2: Tensor, label_B: Tensor, margin: float) -> None:
    """Answers of the map on predicted points, and how far the third loss would move these points.

    The movement is the shortest one that would bring the loss of a face to zero, to first order: mean distance over
    the points, as a share of the inter-ocular distance.
    """
    target_B = label_B.clamp(min=0)
    with torch.no_grad():
        code = net.association.code(points_BK2)
        values["map"][:] = net.association(code)
        values["map_loss"][:, 0] = F.cross_entropy(net.association.slow(code), target_B, reduction="none")
    points = points_BK2.detach().float().requires_grad_(True)
    over_B = excess(net.association, points, target_B, margin)
    (slope,) = torch.autograd.grad(over_B.sum(), points)
    step = slope * (over_B.detach() / slope.square().sum(dim=(1, 2)).clamp(min=1e-12))[:, None, None]
    lengths = metrics.normaliser_lengths("inter_ocular", _array(points))
    values["movement"][:, 0] = step.norm(dim=-1).mean(dim=-1).double().cpu() / torch.from_numpy(lengths)


def _summary(table_ND: Array) -> Held:
    parts = np.split(table_ND, np.cumsum(list(_COLUMNS.values()))[:-1], axis=1)
    column = dict(zip(_COLUMNS, parts, strict=True))
    label_N = column["label"][:, 0].astype(np.int64)
    values: dict[str, float] = {
        "val/nme_interocular": 100 * metrics.mean_nme(column["nme"][:, 0]),
        "val/nme_interocular_base": 100 * metrics.mean_nme(column["nme_base"][:, 0]),
        **{f"residual/{name}": _mean(column["branches"][:, place]) for place, name in enumerate(_BRANCHES)},
    }
    temperature, map_f1, margin = 1.0, 0.0, 0.0
    if not np.isnan(column["logits"]).all():
        values |= _expression_values(column["logits"], column["logits_base"], label_N)
        temperature = metrics.fit_temperature(column["logits"], label_N)
    chance = chance_macro_f1(label_N)
    known_N = label_N != NO_LABEL
    if not np.isnan(column["map"]).all() and known_N.any():
        map_f1 = metrics.macro_f1(column["map"].argmax(axis=1), label_N)
        margin = float(np.median(column["map_loss"][known_N]))
        values |= {
            "assoc/macro_f1": 100 * map_f1,
            "assoc/ece": 100 * metrics.ece(_softmax(column["map"]), label_N),
            "assoc/margin": margin,
            "assoc/movement": 100 * _mean(column["movement"][known_N]),
        }
    finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return Held(finite, temperature, map_f1, margin, chance)


def _expression_values(logits_NE: Array, base_NE: Array, label_N: Labels) -> dict[str, float]:
    predicted, predicted_base = logits_NE.argmax(axis=1), base_NE.argmax(axis=1)
    return {
        "val/accuracy": 100 * metrics.accuracy(predicted, label_N),
        "val/accuracy_base": 100 * metrics.accuracy(predicted_base, label_N),
        "val/macro_f1": 100 * metrics.macro_f1(predicted, label_N),
        "val/macro_f1_base": 100 * metrics.macro_f1(predicted_base, label_N),
    }


def _array(points: Tensor | None) -> Array:
    assert points is not None
    return points.detach().double().cpu().numpy()


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _softmax(logits_NE: Array) -> Array:
    shifted = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
