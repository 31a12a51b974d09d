from itertools import pairwise

import pytest
import torch

from model.train.optim import Ema, load_optimizer_tensors, lr_at, make_optimizer, optimizer_tensors


def test_learning_rate_warms_up_then_falls_to_a_hundredth(tiny):
    config = tiny(**{"train.epochs": 10, "train.warmup_epochs": 2.0, "train.lr": 0.1}).train
    rates = [lr_at(step, config, 5) for step in range(51)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert all(later < former for former, later in pairwise(rates[10:]))
    assert rates[10] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.001)


def test_norms_and_biases_do_not_decay(tiny, make_net):
    net = make_net()
    extra = torch.nn.Parameter(torch.zeros(3))
    decayed, kept = make_optimizer(net, tiny().train, [extra]).param_groups
    assert decayed["weight_decay"] > 0
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert kept["weight_decay"] == 0
    assert any(parameter is extra for parameter in kept["params"])
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    assert len(decayed["params"]) + len(kept["params"]) == len(trained) + 1


def test_average_of_a_network_that_stands_still_is_the_network(make_net):
    net = make_net()
    ema = Ema(net, 0.9)
    for _ in range(3):
        ema.update()
    assert all(torch.equal(own, other) for own, other in zip(ema.net.parameters(), net.parameters(), strict=True))


def test_average_follows_by_the_stated_share(make_net):
    net = make_net()
    ema = Ema(net, 0.05)
    before = {name: parameter.clone() for name, parameter in ema.net.named_parameters()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    ema.update()
    for name, parameter in ema.net.named_parameters():
        assert torch.allclose(parameter, before[name] + 0.95, atol=1e-5)


def test_buffers_of_a_bad_step_are_taken_back(make_net):
    net = make_net()
    ema = Ema(net, 0.9)
    good = net.association.prior_E.clone()
    net.association.prior_E.fill_(torch.nan)
    ema.restore_buffers()
    assert torch.equal(net.association.prior_E, good)


def test_loaded_moments_lie_in_memory_as_their_parameters_do(tiny, make_net, faces):
    """Otherwise the optimiser leaves its fast path after a resume."""
    config, net = tiny().train, make_net().to(memory_format=torch.channels_last)
    optimizer = make_optimizer(net, config)
    net(faces().image_BCHW).landmarks_BK2.sum().backward()
    optimizer.step()
    kept = {
        name: item.clone(memory_format=torch.contiguous_format) for name, item in optimizer_tensors(optimizer).items()
    }
    load_optimizer_tensors(optimizer, kept)
    moments = [(item, state[name]) for item, state in optimizer.state.items() for name in ("exp_avg", "exp_avg_sq")]
    assert any(not moment.is_contiguous() for _, moment in moments)
    assert all(moment.stride() == parameter.stride() for parameter, moment in moments)
    assert all(torch.equal(item, kept[name]) for name, item in optimizer_tensors(optimizer).items())


def test_optimiser_goes_on_from_its_tensors(tiny, make_net, faces):
    config, batch = tiny().train, faces()
    nets = [make_net(), make_net()]
    optimizers = [make_optimizer(net, config) for net in nets]

    def move(place):
        optimizers[place].zero_grad()
        nets[place](batch.image_BCHW).landmarks_BK2.sum().backward()
        optimizers[place].step()

    move(0)
    nets[1].load_state_dict(nets[0].state_dict())
    load_optimizer_tensors(
        optimizers[1], {name: item.clone() for name, item in optimizer_tensors(optimizers[0]).items()}
    )
    move(0)
    move(1)
    assert all(torch.equal(one, two) for one, two in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
