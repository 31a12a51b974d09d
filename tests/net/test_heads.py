import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.net.heads import HeatHead, confidence, heat_centres, heat_margin, soft_argmax

CROP_PIXELS = 64
CELLS = 20  # a map of 16 cells, two more on each side


def gaussian_heat(x: float, y: float, *, spread: float = 0.05) -> Tensor:
    place = heat_centres(CELLS)
    return (-((place[:, None] - y).square() + (place - x).square()) / (2 * spread**2))[None, None]


@given(x=st.floats(0.03, 0.97), y=st.floats(0.03, 0.97))
@settings(max_examples=40)
def test_soft_argmax_finds_the_centre_of_a_gaussian(x: float, y: float) -> None:
    points, _ = soft_argmax(gaussian_heat(x, y))
    error = (points[0, 0] - torch.tensor([x, y])).norm() * CROP_PIXELS
    assert error < 0.05


def test_a_point_slightly_outside_the_crop_can_be_answered() -> None:
    points, _ = soft_argmax(gaussian_heat(-0.05, 1.04, spread=0.03))
    assert (points[0, 0] - torch.tensor([-0.05, 1.04])).abs().max() < 0.01


@pytest.mark.parametrize("map_cells", range(8, 129, 4))
def test_the_centres_of_a_heatmap_continue_those_of_its_map(map_cells: int) -> None:
    margin = heat_margin(map_cells)
    centres = heat_centres(map_cells + 2 * margin)
    inner = (torch.arange(map_cells) + 0.5) / map_cells
    torch.testing.assert_close(centres[margin : margin + map_cells], inner)


def test_confidence_falls_as_the_map_spreads() -> None:
    _, spread = soft_argmax(
        torch.cat([gaussian_heat(17 / 32, 17 / 32, spread=s) for s in (0.005, 0.05, 0.1, 10.0)], dim=1)
    )
    sure = confidence(spread)[0].tolist()
    assert sure == sorted(sure, reverse=True)
    assert 0 <= sure[-1] < 0.1
    assert 0.9 < sure[0] <= 1


def test_soft_argmax_stays_in_fp32_under_autocast() -> None:
    heat = gaussian_heat(0.3, 0.6)
    with torch.autocast("cpu", torch.bfloat16):
        points, spread = soft_argmax(heat)
    assert points.dtype == spread.dtype == torch.float32
    torch.testing.assert_close(points, soft_argmax(heat)[0])


def test_a_map_with_one_sharp_peak_has_finite_gradients() -> None:
    heat = torch.zeros(1, 1, CELLS, CELLS)
    heat[0, 0, 4, 7] = 1e4
    heat.requires_grad_()
    points, spread = soft_argmax(heat)
    (points.sum() + confidence(spread).sum()).backward()
    assert heat.grad is not None and heat.grad.isfinite().all()


def test_before_learning_points_lie_near_the_mean_shape(mean_shape: Tensor) -> None:
    torch.manual_seed(0)
    head = HeatHead(8, 68, 16, mean_shape)
    points, _ = soft_argmax(head(torch.rand(1, 8, 16, 16)))
    assert (points[0] - mean_shape).norm(dim=-1).mean() < 0.15
