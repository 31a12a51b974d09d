from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import Config
from model.errors import CheckpointError
from model.net.inference import FaceNet
from model.net.multitask import MultiTaskNet, export_state
from model.schema import FLIP_19, FLIP_68
from model.weights import Meta, describe, save_weights

Build = Callable[..., MultiTaskNet]


@pytest.fixture
def net(build: Build) -> MultiTaskNet:
    """All heads, and branches that add something."""
    net = build(aflw_head=True).eval()
    torch.manual_seed(4)
    for branch in (net.exchange.r_l, net.exchange.r_e):
        torch.nn.init.normal_(branch.last.weight, std=0.05)
    return net


def _meta(
    config: Config, net: MultiTaskNet, mean_shape: Tensor, temperature: float = 1.0, *, mirror: bool = False
) -> Meta:
    shape = tuple((x, y) for x, y in mean_shape.tolist())
    settings = config.model_copy(
        update={"train": config.train.model_copy(update={"net": net.config.model_copy(update={"mirror": mirror})})}
    )
    return describe(settings.run, mean_shape=shape, data_digest="d", restricted=False, temperature=temperature)


@pytest.fixture
def crops(image: Tensor) -> np.ndarray:
    return image.permute(0, 2, 3, 1).numpy()


@pytest.fixture
def folder(tmp_path: Path, config: Config, net: MultiTaskNet, mean_shape: Tensor) -> Path:
    save_weights(tmp_path, export_state(net), _meta(config, net, mean_shape))
    return tmp_path


def test_saved_weights_answer_as_the_network_did(
    folder: Path, net: MultiTaskNet, image: Tensor, crops: np.ndarray
) -> None:
    answers = FaceNet.load(folder).answer(crops)
    output = net(image)
    np.testing.assert_allclose(answers.points_BK2, output.landmarks_BK2.detach(), atol=1e-5)
    np.testing.assert_allclose(answers.confidence_BK, output.confidence_BK.detach(), atol=1e-5)
    np.testing.assert_allclose(answers.probabilities_BE, output.logits_BE.detach().softmax(-1), atol=1e-5)
    np.testing.assert_allclose(answers.points19_BM2, output.points19_BM2.detach(), atol=1e-5)
    assert answers.probabilities_BE.dtype == np.float64


@pytest.mark.parametrize("trunk", ["residual", "lite0"])
def test_loading_folds_norms_and_changes_no_answer(
    tmp_path: Path, build: Build, config: Config, mean_shape: Tensor, image: Tensor, trunk: str
) -> None:
    net, crops = build(trunk=trunk, norm="batch"), image.permute(0, 2, 3, 1).numpy()
    with torch.no_grad():
        for _ in range(3):
            net(image)
    save_weights(tmp_path, export_state(net), _meta(config, net, mean_shape))
    loaded = FaceNet.load(tmp_path)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in loaded.net.modules())
    folded, plain = loaded.answer(crops), FaceNet(net, loaded.meta).answer(crops)
    np.testing.assert_allclose(folded.points_BK2, plain.points_BK2, atol=1e-5)
    np.testing.assert_allclose(folded.probabilities_BE, plain.probabilities_BE, atol=1e-5)


def test_mirroring_the_crop_mirrors_the_averaged_answer(
    config: Config, net: MultiTaskNet, mean_shape: Tensor, crops: np.ndarray
) -> None:
    face_net = FaceNet(net, _meta(config, net, mean_shape, mirror=True))
    straight = face_net.answer(crops)
    turned = face_net.answer(np.ascontiguousarray(crops[:, :, ::-1]))
    for points, partner in (("points_BK2", FLIP_68), ("points19_BM2", FLIP_19)):
        back = getattr(turned, points)[:, partner] * [-1, 1] + [1, 0]
        np.testing.assert_allclose(getattr(straight, points), back, atol=1e-6)
    np.testing.assert_allclose(straight.confidence_BK, turned.confidence_BK[:, FLIP_68], atol=1e-6)
    np.testing.assert_allclose(straight.probabilities_BE, turned.probabilities_BE, atol=1e-6)
    alone = FaceNet(net, _meta(config, net, mean_shape)).answer(crops)
    assert not np.allclose(straight.points_BK2, alone.points_BK2, atol=1e-6)


def test_a_higher_temperature_flattens_the_classes(
    config: Config, net: MultiTaskNet, mean_shape: Tensor, crops: np.ndarray
) -> None:
    cold, warm = (FaceNet(net, _meta(config, net, mean_shape, t)).answer(crops).probabilities_BE for t in (1.0, 4.0))
    assert (warm.max(axis=1) < cold.max(axis=1)).all()
    assert (warm.argmax(axis=1) == cold.argmax(axis=1)).all()
    np.testing.assert_allclose(warm.sum(axis=1), 1)


def test_any_number_of_crops_is_answered_in_order(folder: Path, crops: np.ndarray) -> None:
    face_net = FaceNet.load(folder)
    many = np.concatenate([crops] * 23)
    answers = face_net.answer(many)
    assert answers.points_BK2.shape == (69, 68, 2)
    np.testing.assert_allclose(answers.points_BK2[66:], face_net.answer(crops).points_BK2, atol=1e-5)
    assert face_net.answer(crops[:0]).points_BK2.shape == (0, 68, 2)


def test_a_missing_task_is_none(build: Build, config: Config, mean_shape: Tensor, crops: np.ndarray) -> None:
    net = build(tasks=("expression",), residual={"kind": "none"})
    answers = FaceNet(net, _meta(config, net, mean_shape, mirror=True)).answer(crops)
    assert answers.points_BK2 is None and answers.confidence_BK is None and answers.points19_BM2 is None
    assert answers.probabilities_BE.shape == (3, 7)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"trunk": "lite0", "norm": "batch", "aflw_head": True},
        {"residual": {"kind": "self"}},
        {"residual": {"kind": "cross_stitch"}},
        {"tasks": ("landmarks",), "residual": {"kind": "none"}},
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_recorded_operations_give_the_same_answers_for_any_number_of_crops(
    build: Build, config: Config, mean_shape: Tensor, crops: np.ndarray, changes: dict[str, object], mirror: bool
) -> None:
    net = build(**changes)
    meta = _meta(config, net, mean_shape, mirror=mirror)
    plain, recorded = FaceNet(net, meta), FaceNet(net, meta).record()
    for number in (0, 1, 3, 69):
        some = np.concatenate([crops] * 23)[:number]
        for one, other in zip(plain.answer(some), recorded.answer(some), strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_allclose(other, one, atol=1e-6)


@pytest.mark.parametrize("bad", [np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)])
def test_crops_of_another_size_or_type_are_refused(folder: Path, bad: np.ndarray) -> None:
    with pytest.raises(CheckpointError, match=r"read uint8 \(32, 32, 3\)"):
        FaceNet.load(folder).answer(bad)


def test_tensors_of_another_architecture_are_named(
    tmp_path: Path, config: Config, net: MultiTaskNet, mean_shape: Tensor
) -> None:
    state = export_state(net)
    del state["head_l.mix.weight"]
    state["stray"] = torch.zeros(1)
    state["trunk.stem.0.weight"] = torch.zeros(2, 2)
    save_weights(tmp_path, state, _meta(config, net, mean_shape))
    with pytest.raises(CheckpointError, match=r"missing head_l\.mix\.weight; unexpected stray; trunk\.stem\.0\.weight"):
        FaceNet.load(tmp_path)
