import pytest
import torch
from torch import Tensor

from model.config import Config
from model.net.residual import Base, CrossStitch, Exchange, Residuals, sample_at

CHANNELS = 16


def _base(mean_shape: Tensor) -> Base:
    generator = torch.Generator().manual_seed(5)
    map_l = torch.rand(2, CHANNELS, 8, 8, generator=generator)
    map_e = torch.rand(2, CHANNELS, 4, 4, generator=generator)
    landmarks = mean_shape.float() + 0.02 * torch.randn(2, 68, 2, generator=generator)
    logits = torch.randn(2, 7, generator=generator)
    return Base(*(tensor.requires_grad_() for tensor in (map_l, map_e, landmarks, logits)))


def _exchange(config: Config, mean_shape: Tensor, **changes: object) -> Exchange:
    torch.manual_seed(0)
    exchange = Exchange(config.train.net.residual.model_copy(update=changes), CHANNELS, mean_shape)
    for branch in (exchange.g, exchange.h, exchange.r_l, exchange.r_e):
        if branch is not None:
            torch.nn.init.normal_(branch.last.weight, std=0.1)
    return exchange


def _total(added: Residuals) -> Tensor:
    return torch.stack([part.square().sum() for part in added if part is not None]).sum()


@pytest.mark.parametrize("kind", ["cross", "self"])
def test_no_gradient_reaches_base_answers_through_the_inputs(config: Config, mean_shape: Tensor, kind: str) -> None:
    base = _base(mean_shape)
    _total(_exchange(config, mean_shape, kind=kind)(base)).backward()
    assert base.landmarks_BK2.grad is None
    assert base.logits_BE.grad is None
    assert base.map_l_BCHW.grad is not None and base.map_l_BCHW.grad.norm() > 0
    assert base.map_e_BCHW.grad is not None and base.map_e_BCHW.grad.norm() > 0


@pytest.mark.parametrize("kind", ["cross", "self"])
def test_each_answer_depends_on_what_its_kind_promises(config: Config, mean_shape: Tensor, kind: str) -> None:
    """`cross`: every input of the other task matters. `self`: none does."""
    exchange = _exchange(config, mean_shape, kind=kind)
    base = _base(mean_shape)
    before = exchange(base)
    expression_changed = exchange(base._replace(map_e_BCHW=base.map_e_BCHW * 2, logits_BE=base.logits_BE * 2))
    landmarks_changed = exchange(
        base._replace(map_l_BCHW=base.map_l_BCHW * 2, landmarks_BK2=base.landmarks_BK2.square())
    )
    crosses = kind == "cross"
    assert torch.equal(before.r_l_BK2, expression_changed.r_l_BK2) != crosses
    assert torch.equal(before.r_e_BE, landmarks_changed.r_e_BE) != crosses


@pytest.mark.parametrize(
    ("field", "change"),
    [("map_e_BCHW", lambda x: x * 2), ("logits_BE", lambda x: x * 2), ("landmarks_BK2", lambda x: x.square())],
)
def test_prediction_level_reads_each_estimate(config: Config, mean_shape: Tensor, field: str, change: object) -> None:
    exchange = _exchange(config, mean_shape)
    base = _base(mean_shape)
    assert callable(change)
    changed = exchange(base._replace(**{field: change(getattr(base, field))}))
    assert not torch.equal(exchange(base).r_l_BK2, changed.r_l_BK2)


def test_switched_off_branches_do_not_exist(config: Config, mean_shape: Tensor) -> None:
    levels = (
        "features_to_landmarks",
        "features_to_expression",
        "predictions_to_landmarks",
        "predictions_to_expression",
    )
    expected = {
        "features_to_landmarks": [True, False, True, False],
        "features_to_expression": [False, True, False, True],
        "predictions_to_landmarks": [False, False, True, False],
        "predictions_to_expression": [False, False, False, True],
    }
    for on, present in expected.items():
        exchange = _exchange(config, mean_shape, **{level: level == on for level in levels})
        assert [part is not None for part in exchange(_base(mean_shape))] == present


def test_with_predictions_off_only_maps_are_read(config: Config, mean_shape: Tensor) -> None:
    exchange = _exchange(config, mean_shape, predictions_to_landmarks=False, predictions_to_expression=False)
    base = _base(mean_shape)
    other = base._replace(landmarks_BK2=base.landmarks_BK2.square(), logits_BE=base.logits_BE * 3)
    before, after = exchange(base), exchange(other)
    assert torch.equal(before.r_l_BK2, after.r_l_BK2)
    assert torch.equal(before.r_e_BE, after.r_e_BE)


def test_self_exchange_costs_what_the_cross_exchange_costs(config: Config, mean_shape: Tensor) -> None:
    sizes = [
        sum(item.numel() for item in _exchange(config, mean_shape, kind=kind).parameters())
        for kind in ("cross", "self")
    ]
    assert abs(sizes[1] / sizes[0] - 1) < 0.1


def test_cross_stitch_starts_as_identity_and_learns_both_directions(config: Config, mean_shape: Tensor) -> None:
    stitch = CrossStitch(config.train.net.residual, CHANNELS)
    base = _base(mean_shape)
    map_l, map_e = stitch(base.map_l_BCHW, base.map_e_BCHW)
    assert torch.equal(map_l, base.map_l_BCHW)
    assert torch.equal(map_e, base.map_e_BCHW)
    (map_l.sum() + map_e.sum()).backward()
    assert all(item.grad is not None and item.grad.norm() > 0 for item in stitch.parameters())


def test_sampling_reads_the_cell_under_a_point() -> None:
    cells = torch.arange(16.0).reshape(1, 1, 4, 4)
    centres = torch.tensor([[[0.125, 0.125], [0.875, 0.125], [0.375, 0.625], [2.0, 2.0]]])
    assert sample_at(cells, centres)[0, :, 0].tolist() == [0.0, 3.0, 9.0, 15.0]
