from collections.abc import Callable

import torch

from model.net.counting import flops, matching_width, parameters
from model.net.multitask import MultiTaskNet

Build = Callable[..., MultiTaskNet]


def test_flops_are_the_multiply_adds_of_the_layers(build: Build) -> None:
    """Oracle: output cells times weights of each convolution and linear layer, gathered by hooks."""
    net = build(residual={"kind": "none"}).eval()
    counted, total = flops(net), 0

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


def test_counting_keeps_the_mode(build: Build) -> None:
    net = build().train()
    flops(net)
    assert net.training


def test_wider_hard_sharing_can_cost_what_the_exchange_costs(build: Build) -> None:
    net = build()
    wider = matching_width(net.config)
    control = build(width=wider, residual={"kind": "none"})
    assert wider > 1
    assert abs(flops(control) / flops(net) - 1) < 0.05
