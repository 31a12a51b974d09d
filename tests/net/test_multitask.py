from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.net.multitask import MultiTaskNet, build_net, export_state, residual_ratios
from model.schema import FaceOutput

Build = Callable[..., MultiTaskNet]
ONE_TASK = {"residual": {"kind": "none"}}
SWITCHES = ("features_to_landmarks", "features_to_expression", "predictions_to_landmarks", "predictions_to_expression")
ROWS = [
    *({"residual": {"kind": kind}} for kind in ("none", "cross", "self", "cross_stitch")),
    *({"residual": {"kind": "cross"} | {name: name == on for name in SWITCHES}} for on in SWITCHES),
    {"residual": {"kind": "cross"} | dict.fromkeys(SWITCHES, False)},
    {"associate": False},
    {"aflw_head": True},
    {"tasks": ("landmarks",), **ONE_TASK},
    {"tasks": ("expression",), **ONE_TASK},
]


def _loss(output: FaceOutput, share: float = 0.3) -> Tensor:
    """`(1-b) L(final) + b L(base)` of both tasks, against arbitrary targets."""
    target = torch.linspace(0, 1, 68)[:, None]
    landmarks = [(points - target).square().mean() for points in (output.landmarks_BK2, output.landmarks_base_BK2)]
    label = torch.arange(len(output.logits_BE))
    classes = [torch.nn.functional.cross_entropy(x, label) for x in (output.logits_BE, output.logits_base_BE)]
    return (1 - share) * (landmarks[0] + classes[0]) + share * (landmarks[1] + classes[1])


def _perturb(net: MultiTaskNet) -> None:
    torch.manual_seed(9)
    assert net.exchange is not None
    for branch in (net.exchange.g, net.exchange.h, net.exchange.r_l, net.exchange.r_e):
        if branch is not None:
            torch.nn.init.normal_(branch.last.weight, std=0.05)


@pytest.mark.parametrize("kind", ["cross", "self", "cross_stitch"])
def test_before_training_every_exchange_is_hard_sharing_in_value_and_gradient(
    build: Build, image: Tensor, kind: str
) -> None:
    plain, other = build(residual={"kind": "none"}), build(residual={"kind": kind})
    gradients, outputs = [], []
    for net in (plain, other):
        torch.manual_seed(0)
        outputs.append(net(image))
        _loss(outputs[-1]).backward()
        gradients.append({name: item.grad for name, item in net.named_parameters() if item.grad is not None})
    for mine, theirs in zip(*outputs, strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_ablation_row_starts_from_the_same_trunk_and_heads(build: Build, row: dict[str, object]) -> None:
    reference = build(residual={"kind": "none"}).state_dict()
    state = build(**row).state_dict()
    shared = [name for name in reference if name in state]
    assert sum(name.startswith("trunk.") for name in shared) == sum(name.startswith("trunk.") for name in reference)
    assert all(torch.equal(reference[name], state[name]) for name in shared)


def test_another_seed_gives_another_trunk(build: Build) -> None:
    a, b = (build(seed=seed).trunk.state_dict() for seed in (0, 1))
    assert not torch.equal(a["stem.0.weight"], b["stem.0.weight"])


def test_building_leaves_the_global_random_state_alone(build: Build) -> None:
    torch.manual_seed(1)
    build()
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))


def test_the_final_answer_is_the_base_plus_the_residual(build: Build, image: Tensor) -> None:
    net = build().eval()
    _perturb(net)
    output, _, added = net.answer(image)
    assert added is not None
    assert torch.equal(output.landmarks_BK2, output.landmarks_base_BK2 + added.r_l_BK2)
    assert torch.equal(output.logits_BE, output.logits_base_BE + added.r_e_BE)
    assert not torch.equal(output.logits_BE, output.logits_base_BE)


def test_the_additive_path_carries_the_whole_gradient_and_nothing_else(build: Build, image: Tensor) -> None:
    """With trained branches too, final points move with base points one to one, and with base logits not at all."""
    net = build().eval()
    _perturb(net)
    output = net(image)
    inputs = (output.landmarks_base_BK2, output.logits_base_BE)
    to_points = torch.autograd.grad(output.landmarks_BK2.sum(), inputs, retain_graph=True, allow_unused=True)
    to_logits = torch.autograd.grad(output.logits_BE.sum(), inputs, allow_unused=True)
    assert torch.equal(to_points[0], torch.ones_like(to_points[0]))
    assert to_points[1] is None
    assert to_logits[0] is None
    assert torch.equal(to_logits[1], torch.ones_like(to_logits[1]))


def test_base_answers_read_the_unexchanged_maps(build: Build, image: Tensor) -> None:
    net = build().eval()
    before = net(image)
    _perturb(net)
    after = net(image)
    assert torch.equal(before.landmarks_base_BK2, after.landmarks_base_BK2)
    assert torch.equal(before.logits_base_BE, after.logits_base_BE)


def test_all_branches_learn_once_the_last_layers_have_moved(build: Build, image: Tensor) -> None:
    net = build()
    _perturb(net)
    _loss(net(image)).backward()
    silent = [name for name, item in net.exchange.named_parameters() if item.grad is None or item.grad.norm() == 0]
    assert silent == []


def test_one_task_leaves_the_other_out(build: Build, image: Tensor) -> None:
    landmarks = build(tasks=("landmarks",), **ONE_TASK)(image)
    assert landmarks.landmarks_BK2.shape == (3, 68, 2)
    assert landmarks.logits_BE is None and landmarks.logits_base_BE is None and landmarks.points19_BM2 is None
    expression = build(tasks=("expression",), **ONE_TASK)(image)
    assert expression.logits_BE.shape == (3, 7)
    assert all(field is None for field in expression[:5])


def test_the_answer_to_one_face_ignores_the_others(build: Build, image: Tensor) -> None:
    net = build().eval()
    torch.testing.assert_close(net(image).logits_BE[:1], net(image[:1]).logits_BE, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["group", "batch", "synced", "frozen"])
@pytest.mark.parametrize("size", ["nano", "base"])
def test_training_under_bf16_stays_finite(build: Build, image: Tensor, norm: str, size: str) -> None:
    net = build(norm=norm, size=size, aflw_head=True).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        output = net(image)
    (_loss(output) + output.points19_BM2.sum() + output.confidence_BK.sum()).backward()
    assert all(field.dtype == torch.float32 and field.isfinite().all() for field in output)
    assert all(item.grad.isfinite().all() for item in net.parameters() if item.grad is not None)


def test_an_export_answers_without_the_association_map(build: Build, image: Tensor) -> None:
    net = build().eval()
    state = export_state(net)
    assert not any(name.startswith("association.") for name in state)
    other = build(associate=False, seed=5).eval()
    other.load_state_dict(state)
    assert torch.equal(net(image).logits_BE, other(image).logits_BE)


def test_residual_ratios_name_the_branches_that_are_on(build: Build, image: Tensor) -> None:
    net = build(residual={"features_to_expression": False})
    assert residual_ratios(net, image) == {"g": 0.0, "r_l": 0.0, "r_e": 0.0}
    _perturb(net)
    assert all(value > 0 for value in residual_ratios(net, image).values())
    assert residual_ratios(build(residual={"kind": "none"}), image) == {}


def test_a_mean_shape_may_be_nested_tuples(build: Build, mean_shape: Tensor) -> None:
    net = build()
    same = build_net(net.config, None, mean_shape_K2=tuple(map(tuple, mean_shape.tolist())), seed=0)
    assert torch.equal(net.exchange.code.mean_K2, same.exchange.code.mean_K2)


@pytest.mark.parametrize(("kind", "listens"), [("cross", True), ("self", False)])
def test_donors_change_what_a_face_hears_of_the_other_task_only(
    build: Build, image: Tensor, kind: str, listens: bool
) -> None:
    net = build(residual={"kind": kind}).eval()
    for branch in (net.exchange.g, net.exchange.h, net.exchange.r_l, net.exchange.r_e):
        torch.nn.init.normal_(branch.last.weight, std=0.1)
    with torch.no_grad():
        own, _, _ = net.answer(image)
        itself, _, _ = net.answer(image, torch.arange(len(image)))
        other, _, _ = net.answer(image, torch.tensor([1, 2, 0]))
    assert torch.equal(own.logits_BE, itself.logits_BE)
    assert torch.equal(own.logits_base_BE, other.logits_base_BE)
    assert torch.equal(own.landmarks_base_BK2, other.landmarks_base_BK2)
    assert torch.equal(own.logits_BE, other.logits_BE) != listens
    assert torch.equal(own.landmarks_BK2, other.landmarks_BK2) != listens
