import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.train.losses import (
    class_term,
    expression_target,
    heatmap_term,
    masked,
    multitask_loss,
    point_term,
    task_losses,
)

BASE = ("landmarks", "landmarks_base", "heatmap", "expression", "expression_base")


@pytest.fixture
def loss(tiny):
    return tiny().train.loss


def test_point_loss_is_zero_at_the_truth_and_one_at_the_width(loss, faces):
    truth, mask = faces().landmarks_BK2, faces().landmarks_mask_BK
    assert float(point_term(truth, truth, mask, loss).total) == pytest.approx(0, abs=1e-5)
    moved = truth + torch.tensor([loss.wing_width, 0.0])
    term = point_term(moved, truth, mask, loss)
    assert float(term.total / term.number) == pytest.approx(1, abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0, 6.28), distance=st.floats(0.001, 0.5))
def test_point_loss_depends_on_the_distance_alone(loss_of_params, angle, distance):
    truth = torch.zeros(1, 1, 2)
    mask = torch.ones(1, 1, dtype=torch.bool)
    step = distance * torch.tensor([math.cos(angle), math.sin(angle)])
    along = point_term(truth + step, truth, mask, loss_of_params).total
    straight = point_term(truth + torch.tensor([distance, 0.0]), truth, mask, loss_of_params).total
    assert float(along) == pytest.approx(float(straight), rel=1e-3, abs=1e-4)


@pytest.fixture(scope="module")
def loss_of_params(tiny):
    return tiny().train.loss


def test_point_loss_has_no_jump_in_value_or_slope_at_the_width(loss):
    distance = torch.tensor([loss.wing_width - 1e-3, loss.wing_width, loss.wing_width + 1e-3])
    points = torch.stack([distance, torch.zeros(3)], dim=-1)[None]
    mask = torch.eye(3, dtype=torch.bool)
    below, at, above = (float(point_term(points, torch.zeros(1, 3, 2), row[None], loss).total) for row in mask)
    assert above - at == pytest.approx(at - below, rel=0.02)


def test_hidden_points_do_not_count(loss, faces):
    batch = faces()
    mask = batch.landmarks_mask_BK.clone()
    mask[:, 10:] = False
    wild = batch.landmarks_BK2.clone()
    wild[:, 10:] += 100
    term = point_term(wild, batch.landmarks_BK2, mask, loss)
    assert float(term.total) == pytest.approx(0, abs=1e-5)
    assert int(term.number) == 4 * 10


def test_heatmap_loss_is_zero_for_the_gaussian_itself_and_positive_elsewhere():
    heat = torch.zeros(1, 1, 20, 20)
    place = (torch.arange(20) + 0.5 - 2) / 16
    square = ((place[:, None] - 0.4) ** 2 + (place[None, :] - 0.7) ** 2) * 16**2
    heat[0, 0] = -0.5 * square
    truth = torch.tensor([[[0.7, 0.4]]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert float(heatmap_term(heat, truth, mask, 1.0).total) == pytest.approx(0, abs=1e-5)
    assert float(heatmap_term(heat, truth + 0.1, mask, 1.0).total) > 0.1


def test_heatmap_loss_leaves_out_points_no_map_can_reach():
    mask = torch.ones(1, 1, dtype=torch.bool)
    term = heatmap_term(torch.zeros(1, 1, 20, 20), torch.tensor([[[1.5, 0.5]]]), mask, 1.0)
    assert float(term.total) == 0
    assert int(term.number) == 0


def test_class_loss_of_a_sure_right_answer_is_near_zero_and_of_a_uniform_one_log_seven(loss):
    target = torch.eye(7)
    mask = torch.ones(7, dtype=torch.bool)
    assert float(class_term(50 * torch.eye(7), target, mask).total) == pytest.approx(0, abs=1e-5)
    assert float(class_term(torch.zeros(7, 7), target, mask).total) == pytest.approx(7 * math.log(7), rel=1e-5)


def test_class_loss_equals_sklearn_log_loss():
    """Oracle: sklearn.metrics.log_loss."""
    from sklearn.metrics import log_loss

    logits = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    label = torch.arange(20) % 7
    term = class_term(logits, torch.eye(7)[label], torch.ones(20, dtype=torch.bool))
    expected = log_loss(label.numpy(), logits.double().softmax(dim=-1).numpy(), labels=np.arange(7))
    assert float(term.total / term.number) == pytest.approx(expected, rel=1e-5)


def test_without_smoothing_the_target_is_the_distribution_of_the_batch(tiny):
    mixed = torch.tensor([[0.6, 0.4, 0, 0, 0, 0, 0]])
    assert torch.equal(expression_target(mixed, tiny(**{"train.loss.label_smoothing": 0.0}).train.loss), mixed)


def test_smoothed_target_stays_a_distribution(loss):
    assert torch.allclose(expression_target(torch.eye(7), loss).sum(dim=-1), torch.ones(7))


def test_terms_of_two_halves_add_up_to_the_whole(loss, faces, make_net):
    """What makes two processes equal one."""
    net, batch = make_net(), faces(6)
    halves = [type(batch)(*(item[rows] for item in batch)) for rows in (slice(0, 2), slice(2, 6))]
    whole = multitask_loss(net(batch.image_BCHW), batch, loss)
    parts = [multitask_loss(net(half.image_BCHW), half, loss) for half in halves]
    for name, term in whole.items():
        assert sum(part[name].total.item() for part in parts) == pytest.approx(term.total.item(), rel=1e-4)
        assert int(sum(part[name].number for part in parts)) == int(term.number)


def test_batch_without_any_label_back_propagates_zero(loss, faces, make_net):
    net = make_net()
    batch = faces()._replace(
        landmarks_mask_BK=torch.zeros(4, 68, dtype=torch.bool), expression_mask_B=torch.zeros(4, dtype=torch.bool)
    )
    terms = multitask_loss(net(batch.image_BCHW), batch, loss)
    assert set(terms) == set(BASE)
    sum(term.total / term.number.clamp(min=1) for term in terms.values()).backward()
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert gradients
    assert all(float(gradient.abs().max()) == 0 for gradient in gradients)


def test_network_of_one_task_has_the_terms_of_that_task(tiny, faces, make_net):
    for task, names in (
        ("landmarks", {"landmarks", "landmarks_base", "heatmap"}),
        ("expression", {"expression", "expression_base"}),
    ):
        net = make_net(**{"train.net.tasks": [task], "train.net.residual.kind": "none"})
        batch = faces()
        assert set(multitask_loss(net(batch.image_BCHW), batch, tiny().train.loss)) == names


def test_task_loss_weighs_final_and_base_by_the_share(tiny):
    config = tiny(**{"train.loss.base_share": 0.25, "train.loss.heatmap_weight": 0.5}).train.loss
    means = {"landmarks": torch.tensor(4.0), "landmarks_base": torch.tensor(8.0), "heatmap": torch.tensor(2.0)}
    assert task_losses(means, config) == {"landmarks": torch.tensor(0.75 * 4 + 0.25 * 8 + 0.5 * 2)}


def test_terms_of_no_task_are_left_to_their_own_weight(tiny):
    assert task_losses({"assoc_learn": torch.tensor(1.0)}, tiny().train.loss) == {}


def test_masked_sum_of_nothing_keeps_its_graph():
    values = torch.ones(3, requires_grad=True)
    term = masked(values, torch.zeros(3, dtype=torch.bool))
    term.total.backward()
    assert torch.equal(values.grad, torch.zeros(3))
