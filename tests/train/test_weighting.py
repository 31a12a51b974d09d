import math

import pytest
import torch

from model.train.weighting import make_weighting

WAYS = ("fixed", "uncertainty", "dwa", "famo")
CPU = torch.device("cpu")


@pytest.fixture
def make(tiny):
    def build(way, **weights):
        equal = {"landmark_weight": 1.0, "expression_weight": 1.0}
        named = {f"train.loss.{name}": value for name, value in (equal | weights).items()}
        return make_weighting(tiny(**{"train.loss.weighting": way, **named}).train.loss, CPU)

    return build


def losses(**values):
    return {name: torch.tensor(float(value)) for name, value in values.items()}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_scales_with_the_hand_set_weight(way, make):
    values = losses(landmarks=0.7, expression=0.7)
    plain, tripled = make(way).weights(values), make(way, expression_weight=3.0).weights(values)
    assert tripled["expression"].item() == pytest.approx(3 * plain["expression"].item())
    assert tripled["landmarks"].item() == pytest.approx(plain["landmarks"].item())


@pytest.mark.parametrize("way", WAYS)
def test_a_task_never_met_before_is_no_error(way, make):
    assert make(way).weights(losses(landmarks=1.0, gaze=2.0))["gaze"].item() == 1.0


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_without_any_task_is_no_error(way, make):
    weighting = make(way)
    assert weighting.weights({}) == {}
    assert weighting.penalty({}).item() == 0


@pytest.mark.parametrize("way", WAYS)
def test_state_survives_saving(way, make):
    one, other = make(way), make(way)
    for loss in (2.0, 1.0):
        one.weights(losses(landmarks=loss, expression=1.0))
        one.follow(losses(landmarks=loss, expression=1.0), losses(landmarks=loss / 2, expression=0.9))
        one.end_epoch({"landmarks": loss, "expression": 1.0})
    other.load({name: tensor.clone() for name, tensor in one.state().items()})
    for weighting in (one, other):
        weighting.follow(losses(landmarks=1.0, expression=1.0), losses(landmarks=0.9, expression=0.3))
    values = losses(landmarks=0.5, expression=0.9)
    assert {name: weight.item() for name, weight in one.weights(values).items()} == {
        name: weight.item() for name, weight in other.weights(values).items()
    }


def test_uncertainty_settles_where_the_log_variance_is_the_log_of_the_loss(make):
    """The minimum of `exp(-s) L + s` is at `s = log L`."""
    weighting = make("uncertainty")
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.2)
    values = losses(landmarks=0.2, expression=3.0)
    for _ in range(200):
        optimizer.zero_grad()
        weights = weighting.weights(values)
        (sum(weights[name] * loss for name, loss in values.items()) + weighting.penalty(values)).backward()
        optimizer.step()
    weights = weighting.weights(values)
    for name, loss in values.items():
        assert -math.log(weights[name].item()) == pytest.approx(math.log(loss.item()), abs=1e-2)


def test_dynamic_average_favours_the_task_that_falls_slowly(make):
    weighting = make("dwa")
    even = weighting.weights(losses(landmarks=1, expression=1))
    assert even["landmarks"].item() == even["expression"].item() == 1.0
    weighting.end_epoch({"landmarks": 1.0, "expression": 1.0})
    weighting.end_epoch({"landmarks": 0.5, "expression": 0.99})
    uneven = weighting.weights(losses(landmarks=1, expression=1))
    assert uneven["expression"].item() > uneven["landmarks"].item()
    assert sum(weight.item() for weight in uneven.values()) == pytest.approx(2)


def test_famo_begins_with_equal_shares(make):
    values = losses(landmarks=0.01, expression=2.0)
    shares = [(weight * values[name]).item() for name, weight in make("famo").weights(values).items()]
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)


def test_famo_moves_weight_to_the_task_that_falls_slowly(make):
    """The fall of each step counts, so the share goes on moving as long as one task falls faster."""
    weighting = make("famo")
    values, ratios = losses(landmarks=0.01, expression=2.0), []
    for _ in range(3):
        for _ in range(50):
            fallen = {"landmarks": values["landmarks"] * 0.98, "expression": values["expression"] * 0.999}
            weighting.follow(values, fallen)
            values = fallen
        weights = weighting.weights(values)
        shares = {name: (weights[name] * values[name]).item() for name in values}
        ratios.append(shares["expression"] / shares["landmarks"])
    assert ratios[0] > 1.5
    assert ratios == sorted(ratios)


def test_famo_follows_the_authors_update(make):
    """Against their code's formula: Adam on `grad(softmax(xi)) . fall` with decay, from the published constants."""
    weighting, generator = make("famo"), torch.Generator().manual_seed(0)
    xi = torch.zeros(2, requires_grad=True)
    adam = torch.optim.Adam([xi], lr=0.025, weight_decay=0.001)
    for _ in range(20):
        before, after = torch.rand(2, 2, generator=generator) + 0.1
        weighting.follow(
            losses(landmarks=before[0], expression=before[1]), losses(landmarks=after[0], expression=after[1])
        )
        (xi.grad,) = torch.autograd.grad(xi.softmax(0), xi, grad_outputs=before.log() - after.log())
        adam.step()
    equal = losses(landmarks=1, expression=1)
    told = [weight.item() for weight in weighting.weights(equal).values()]
    assert told == pytest.approx((2 * xi.detach().softmax(0)).tolist(), rel=1e-5)


def test_famo_leaves_absent_tasks_where_they_were(make):
    weighting = make("famo")
    weighting.follow(losses(landmarks=1), losses(landmarks=0.5))
    weighting.follow({}, {})
    assert weighting.weights(losses(landmarks=1, expression=1))["expression"].item() == pytest.approx(1.0)
