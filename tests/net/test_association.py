import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import Config
from model.net.association import AssociationMap


@pytest.fixture
def association(config: Config, mean_shape: Tensor) -> AssociationMap:
    torch.manual_seed(0)
    return AssociationMap(config.train.association, mean_shape)


@pytest.fixture
def points(mean_shape: Tensor) -> Tensor:
    noise = torch.randn(4, 68, 2, generator=torch.Generator().manual_seed(1))
    return (mean_shape.float() + 0.02 * noise).requires_grad_()


def test_learning_from_a_label_reaches_the_map_alone(association: AssociationMap, points: Tensor) -> None:
    """Loss (1): the code of a stopped estimate."""
    F.cross_entropy(association(association.code(points.detach())), torch.arange(4)).backward()
    assert all(item.grad is not None and item.grad.norm() > 0 for item in association.map.parameters())
    assert all(item.grad is None for item in association.map_slow.parameters())
    assert points.grad is None


def test_the_slow_map_passes_gradient_to_its_input_only(association: AssociationMap, points: Tensor) -> None:
    """Loss (3)."""
    F.cross_entropy(association.slow(association.code(points)), torch.arange(4)).backward()
    assert points.grad is not None and points.grad.norm() > 0
    assert all(item.grad is None for item in association.parameters())


def test_the_slow_map_starts_equal_and_follows_by_ema(association: AssociationMap, points: Tensor) -> None:
    code = association.code(points.detach())
    assert torch.equal(association(code), association.slow(code))
    before = [item.clone() for item in association.map_slow.parameters()]
    with torch.no_grad():
        for item in association.map.parameters():
            item.add_(1.0)
    association.update_ema()
    for slow, old in zip(association.map_slow.parameters(), before, strict=True):
        torch.testing.assert_close(slow, old + (1 - association.ema_decay))


def test_the_slow_map_is_no_parameter_to_train(association: AssociationMap) -> None:
    trained = {name for name, item in association.named_parameters() if item.requires_grad}
    assert trained == {name for name, _ in association.named_parameters() if name.startswith("map.")}


def test_the_prior_sums_to_one(association: AssociationMap) -> None:
    association.set_prior([2, 0, 1, 1, 0, 0, 0])
    assert association.prior_E.tolist() == [0.5, 0, 0.25, 0.25, 0, 0, 0]
    assert "prior_E" in association.state_dict()


def test_logits_stay_in_fp32_under_autocast(association: AssociationMap, points: Tensor) -> None:
    code = association.code(points.detach())
    with torch.autocast("cpu", torch.bfloat16):
        inside = association(code)
    assert torch.equal(inside, association(code))
