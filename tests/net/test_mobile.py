from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.net.mobile import MobileTrunk
from model.net.multitask import MultiTaskNet
from model.net.norm import FrozenNorm, SyncedNorm

Build = Callable[..., MultiTaskNet]


def test_levels_lie_at_strides_four_to_thirty_two() -> None:
    trunk = MobileTrunk("batch").eval()
    levels = trunk(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (192, 2, 3)]
    assert trunk.channels == [24, 40, 112, 192]


def test_the_trunk_has_the_published_number_of_weights() -> None:
    """Lite0's 4,652,008 without the last stage (605,440), head (412,160) and classifier (1,281,000), and what even
    kernels of stride 2 add: seven weights a filter of 3, eleven a filter of 5.
    """
    published = 4_652_008 - 605_440 - 412_160 - 1_281_000
    added = 7 * (3 * 32 + 96 + 240) + 11 * (144 + 672)
    assert sum(item.numel() for item in MobileTrunk("batch").parameters()) == published + added


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("group", SyncedNorm), ("synced", SyncedNorm), ("batch", nn.BatchNorm2d), ("frozen", FrozenNorm)],
)
def test_the_norm_is_of_the_batch_in_every_case(norm: str, kind: type[nn.Module]) -> None:
    norms = [module for module in MobileTrunk(norm).modules() if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm))]
    assert {type(module) for module in norms} == {kind}
    assert all((module.eps, module.momentum) == (0.001, 0.01) for module in norms)


def test_both_tasks_learn_through_it(build: Build, image: Tensor) -> None:
    net = build(trunk="lite0", norm="group")
    output = net(image)
    (output.landmarks_BK2.sum() + output.logits_BE.square().sum()).backward()
    assert all(item.grad is not None and item.grad.isfinite().all() for item in net.trunk.parameters())


def test_every_row_starts_from_the_same_trunk(build: Build) -> None:
    full, bare = (build(trunk="lite0", residual={"kind": kind}).trunk.state_dict() for kind in ("cross", "none"))
    assert all(torch.equal(full[name], bare[name]) for name in bare)
