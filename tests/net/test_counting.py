from collections.abc import Callable

import torch

from model.net.counting import flops, matching_width, parameters
from model.net.multitask import MultiTaskNet, residual_ratios
from model.schema import LANDMARKS

Build = Callable[..., MultiTaskNet]


def test_flops_are_the_multiply_adds_of_the_layers(build: Build) -> None:
    """Oracle: cells times weights of each convolution and linear layer, and three sums over each heatmap of 10 x 10."""
    net = build(residual={"kind": "none"}).eval()
    counted, total = flops(net), 3 * LANDMARKS * 10 * 10

    def count(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        cells = output[0, 0].numel() if isinstance(layer, torch.nn.Conv2d) else 1
        total += cells * layer.weight.numel()

    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    net(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert counted == total


def test_parameters_leave_the_association_map_out(build: Build) -> None:
    assert parameters(build()) == parameters(build(associate=False))


def test_counting_leaves_mode_and_statistics_alone(build: Build) -> None:
    net = build(norm="batch").train()
    before = net.trunk.stem[1].running_mean.clone()
    flops(net)
    residual_ratios(net, torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert net.training
    assert torch.equal(net.trunk.stem[1].running_mean, before)


def test_wider_hard_sharing_can_cost_what_the_exchange_costs(build: Build) -> None:
    net = build(input_size=64)
    wider = matching_width(net.config)
    control = build(input_size=64, width=wider, residual={"kind": "none"})
    assert wider > 1
    assert 1 <= flops(control) / flops(net) < 1.08
    assert 1 <= parameters(control) / parameters(net) < 1.08
