import math

import pytest
import torch

from model.schema import NO_LABEL, FaceOutput
from model.train.association import (
    Transfer,
    association_loss,
    excess,
    learn_term,
    map_answer,
    pseudo_terms,
    ramp,
    teacher_belief,
    term_weights,
    to_expression_terms,
    to_landmarks_term,
)


@pytest.fixture
def net(make_net):
    return make_net()


def reached(net, total):
    """Names of parameters that a loss moves."""
    net.zero_grad(set_to_none=True)
    total.backward()
    return {
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is not None and float(parameter.grad.abs().max()) > 0
    }


def only(batch, *, points, expression):
    """The batch with the labels of one kind switched off."""
    mask_B = batch.expression_mask_B & expression
    return batch._replace(
        landmarks_mask_BK=batch.landmarks_mask_BK & points,
        expression_mask_B=mask_B,
        label_B=batch.label_B.where(mask_B, NO_LABEL),
    )


def test_learning_reaches_the_map_and_nothing_else(net, faces):
    batch = faces()
    output = net(batch.image_BCHW)
    names = reached(net, learn_term(net.association, output.landmarks_BK2, batch).total)
    assert names == {f"association.{name}" for name, _ in net.association.named_parameters() if "slow" not in name}


def test_map_to_expression_reaches_the_expression_head_and_no_map(net, faces):
    batch = only(faces(), points=True, expression=False)
    output = net(batch.image_BCHW)
    terms = to_expression_terms(net.association, output.logits_BE, batch, 1.0)
    names = reached(net, terms["assoc_to_expression"].total)
    assert any(name.startswith("head_e.") for name in names)
    assert not any(name.startswith("association.") for name in names)


def test_label_to_landmarks_reaches_the_points_and_no_map(net, faces):
    batch = only(faces(), points=False, expression=True)
    output = net(batch.image_BCHW)
    names = reached(net, to_landmarks_term(net.association, output.landmarks_BK2, batch, 0.0).total)
    assert any(name.startswith("head_l.") for name in names)
    assert not any(name.startswith("association.") for name in names)
    assert not any(name.startswith("head_e.") for name in names)


def test_each_transfer_teaches_only_the_faces_that_lack_a_label(net, faces):
    whole, points, names = (
        only(faces(), points=has_points, expression=has_name)
        for has_points, has_name in ((True, True), (True, False), (False, True))
    )
    output = net(whole.image_BCHW)
    counts = [
        (
            int(to_expression_terms(net.association, output.logits_BE, batch, 1.0)["assoc_to_expression"].number),
            int(to_landmarks_term(net.association, output.landmarks_BK2, batch, 0.0).number),
            float(learn_term(net.association, output.landmarks_BK2, batch).number),
        )
        for batch in (whole, points, names)
    ]
    assert counts == [(0, 0, 4), (4, 0, 0), (0, 4, 4)]


def test_rare_classes_weigh_as_much_as_common_ones(net, faces):
    """Two faces, one of a class that is nine times as common: together each class counts the same."""
    shares = torch.full((7,), 0.01)
    shares[0], shares[1] = 0.9, 0.1
    net.association.set_prior(shares)
    batch = faces(2)
    points = net(batch.image_BCHW).landmarks_BK2
    common = learn_term(net.association, points, only(batch, points=True, expression=torch.tensor([True, False])))
    rare = learn_term(net.association, points, only(batch, points=True, expression=torch.tensor([False, True])))
    assert float(rare.number) == pytest.approx(9 * float(common.number))


def test_answer_of_the_map_takes_the_prior_and_sharpens_as_temperature_falls(net, faces):
    points = faces().landmarks_BK2
    flat = torch.ones(7) / 7
    skewed = torch.tensor([0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
    plain, with_prior = map_answer(net.association, points, flat, 1.0), map_answer(net.association, points, skewed, 1.0)
    expected = plain * skewed
    assert torch.allclose(with_prior, expected / expected.sum(dim=-1, keepdim=True), atol=1e-5)
    assert map_answer(net.association, points, flat, 0.1).max() > plain.max()
    assert torch.allclose(with_prior.sum(dim=-1), torch.ones(4), atol=1e-5)


def test_uniform_answer_of_the_map_teaches_nothing(net, faces):
    for parameter in net.association.map_slow[-1].parameters():
        parameter.zero_()
    batch = only(faces(), points=True, expression=False)
    terms = to_expression_terms(net.association, net(batch.image_BCHW).logits_BE, batch, 1.0)
    assert terms["assoc_to_expression"].total.item() == pytest.approx(0, abs=1e-5)
    assert float(terms["q_entropy"].total / terms["q_entropy"].number) == pytest.approx(math.log(7), rel=1e-5)
    assert float(terms["q_confident"].total) == 0


def test_agreement_with_the_map_costs_nothing(net, faces):
    batch = only(faces(), points=True, expression=False)
    agreed = map_answer(net.association, batch.landmarks_BK2, net.association.prior_E, 0.05).log()
    terms = to_expression_terms(net.association, agreed, batch, 0.05)
    assert terms["assoc_to_expression"].total.item() == pytest.approx(0, abs=1e-5)
    assert float(terms["q_confident"].total) > 0


def test_points_within_the_margin_are_left_alone(net, faces):
    batch = faces()
    points = batch.landmarks_BK2.clone().requires_grad_(True)
    over = excess(net.association, points, batch.label_B, 100.0)
    over.sum().backward()
    assert over.sum().item() == 0
    assert float(points.grad.abs().max()) == 0


@pytest.mark.parametrize(("epoch", "expected"), [(1.0, 0.0), (3.0, 0.0), (4.0, 0.5), (5.0, 1.0), (9.0, 1.0)])
def test_transfer_grows_over_the_ramp_after_the_map_has_proved_itself(tiny, epoch, expected):
    config = tiny(**{"train.association.ramp_epochs": 2}).train.association
    assert ramp(3, epoch, config) == pytest.approx(expected)
    assert ramp(-1, epoch, config) == 0


def test_before_the_start_only_the_map_learns(net, faces, tiny):
    batch, config = faces(), tiny().train.association
    early = Transfer(0.0, 1.0, torch.zeros(4, 68, 2))
    late = Transfer(0.5, 1.0, torch.zeros(4, 68, 2))
    output = net(batch.image_BCHW)
    assert set(association_loss(net.association, output, batch, early, config)) == {"assoc_learn"}
    assert {"assoc_to_expression", "assoc_to_landmarks"} <= set(
        association_loss(net.association, output, batch, late, config)
    )
    weights = term_weights(config, 0.5)
    assert weights["assoc_to_expression"] == pytest.approx(0.5 * config.to_expression_weight)


def test_no_label_at_all_keeps_the_graph_alive(net, faces, tiny):
    batch = only(faces(), points=False, expression=False)
    late = Transfer(1.0, 0.0, torch.randn(4, 68, 2))
    terms = association_loss(net.association, net(batch.image_BCHW), batch, late, tiny().train.association)
    assert reached(net, sum(term.total for term in terms.values())) == set()


def test_network_of_one_task_has_no_association(tiny, faces, make_net):
    net = make_net(**{"train.net.tasks": ["landmarks"], "train.net.residual.kind": "none"})
    batch = faces()
    late = Transfer(1.0, 0.0, torch.zeros(4, 68, 2))
    assert association_loss(net.association, net(batch.image_BCHW), batch, late, tiny().train.association) == {}


def test_pseudo_labels_fill_gaps_where_the_teacher_is_sure(net, faces, tiny):
    config = tiny(**{"train.association.pseudo_confidence": 0.8}).train
    batch = only(faces(), points=torch.tensor([True, True, False, False])[:, None], expression=False)
    sure = 20 * torch.eye(7)[:4]
    sure[1] = 0
    output = net(batch.image_BCHW)
    teacher = output._replace(logits_BE=sure, confidence_BK=torch.ones(4, 68))
    terms = pseudo_terms(output, teacher, sure.softmax(dim=-1), batch, config)
    assert int(terms["pseudo_expression"].number) == 3
    assert int(terms["pseudo_landmarks"].number) == 2 * 68


def test_teacher_times_map_is_sure_only_where_both_agree(net, faces, tiny):
    config = tiny(**{"train.association.pseudo_times_map": True}).train.association
    batch = faces()
    logits = 3 * torch.eye(7)[:4]
    teacher = FaceOutput(None, batch.landmarks_BK2, None, None, None, None, logits)
    alone = teacher_belief(net.association, teacher, batch, 0.0, config)
    both = teacher_belief(net.association, teacher, batch, 1.0, config)
    answer = map_answer(net.association, batch.landmarks_BK2, torch.ones(7), config.temperature)
    assert torch.allclose(alone, logits.softmax(dim=-1))
    assert torch.allclose(both, alone * answer / (alone * answer).sum(dim=-1, keepdim=True), atol=1e-6)
