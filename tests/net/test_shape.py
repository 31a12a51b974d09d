import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.net.shape import _DEPTH, SHAPE_CODE, ShapeCode, shape_code
from model.schema import FLIP_68, OUTER_EYE_CORNERS


def _face(mean_shape: Tensor, seed: int = 0) -> Tensor:
    return mean_shape.float() + 0.02 * torch.randn(68, 2, generator=torch.Generator().manual_seed(seed))


@given(
    angle=st.floats(-math.pi, math.pi),
    scale=st.floats(0.01, 100),
    x=st.floats(-1, 1),
    y=st.floats(-1, 1),
    seed=st.integers(0, 5),
)
@settings(max_examples=60)
def test_similar_shapes_have_one_code(
    mean_shape: Tensor, angle: float, scale: float, x: float, y: float, seed: int
) -> None:
    face = _face(mean_shape, seed)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    moved = (face @ turn.T + torch.tensor([x, y])) * scale
    torch.testing.assert_close(
        shape_code(moved[None], mean_shape), shape_code(face[None], mean_shape), rtol=0, atol=1e-4
    )


def test_the_mean_shape_has_code_zero(mean_shape: Tensor) -> None:
    code = shape_code(mean_shape[None].float() * 3 + 1, mean_shape)
    assert code.shape == (1, SHAPE_CODE)
    assert code.abs().max() < 1e-5


@pytest.mark.parametrize("axis", ["yaw", "pitch"])
@pytest.mark.parametrize("degrees", [-8.0, 4.0, 8.0])
def test_small_turns_of_the_mean_head_hardly_change_the_code(mean_shape: Tensor, axis: str, degrees: float) -> None:
    """Oracle: the mean face with its depths, turned in space and projected; what is left is of second order."""
    flat = mean_shape - mean_shape.mean(dim=0)
    unit = (flat[OUTER_EYE_CORNERS[1]] - flat[OUTER_EYE_CORNERS[0]]).norm()
    depth = torch.tensor(_DEPTH, dtype=torch.float64) * unit
    angle = math.radians(degrees)
    turned = flat.clone()
    moving = 0 if axis == "yaw" else 1
    turned[:, moving] = flat[:, moving] * math.cos(angle) + depth * math.sin(angle)
    moved = (turned - flat).norm() / unit
    code = shape_code(turned[None].float(), mean_shape)
    assert code.norm() < 0.15 * moved


def test_the_code_of_an_expression_survives(mean_shape: Tensor) -> None:
    """An open mouth: the lower lip and the chin go down."""
    face = mean_shape.clone()
    face[[6, 7, 8, 9, 10, 55, 56, 57, 58, 59, 65, 66, 67], 1] += 0.06
    moved = (face - mean_shape).norm() / (mean_shape[45] - mean_shape[36]).norm()
    assert shape_code(face[None].float(), mean_shape).norm() > 0.5 * moved


def test_the_depths_are_symmetric() -> None:
    depth = torch.tensor(_DEPTH)
    assert torch.equal(depth, depth[torch.from_numpy(FLIP_68)])


def test_the_code_is_the_same_under_autocast(mean_shape: Tensor) -> None:
    face = _face(mean_shape)[None]
    with torch.autocast("cpu", torch.bfloat16):
        code = shape_code(face, mean_shape)
    assert code.dtype == torch.float32
    assert torch.equal(code, shape_code(face, mean_shape))


def test_the_gradient_reaches_the_points_and_moves_no_similarity(mean_shape: Tensor) -> None:
    points = _face(mean_shape)[None].requires_grad_()
    shape_code(points, mean_shape)[0, :20].sum().backward()
    gradient = points.grad
    assert gradient is not None and gradient.norm() > 0
    centred = points.detach() - points.detach().mean(dim=1, keepdim=True)
    assert gradient.sum(dim=1).abs().max() < 1e-3 * gradient.norm()
    assert (gradient * centred).sum().abs() < 1e-3 * gradient.norm()


@pytest.mark.parametrize("points", [torch.zeros(2, 68, 2), torch.full((2, 68, 2), 0.5)])
def test_coinciding_points_have_a_finite_code_and_gradient(mean_shape: Tensor, points: Tensor) -> None:
    points = points.clone().requires_grad_()
    code = ShapeCode(mean_shape)(points)
    code.square().sum().backward()
    assert code.isfinite().all()
    assert points.grad is not None and points.grad.isfinite().all()


def test_the_code_of_a_mirrored_face_is_the_mirrored_code(mean_shape: Tensor) -> None:
    face = _face(mean_shape)
    mirrored = (face * torch.tensor([-1.0, 1.0]))[torch.from_numpy(FLIP_68)]
    code, other = (shape_code(points[None], mean_shape).view(68, 2) for points in (face, mirrored))
    torch.testing.assert_close(other, (code * torch.tensor([-1.0, 1.0]))[torch.from_numpy(FLIP_68)], rtol=0, atol=1e-5)
