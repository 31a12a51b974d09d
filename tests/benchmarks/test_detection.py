"""Faces laid on a canvas: where they are said to be, and how finds are counted."""

import numpy as np
import pytest

from benchmarks.detection import CANVAS, LAYOUTS, SCORES, Found, Layout, lay, measure, summarise, table
from benchmarks.perturb import Scene, side_of


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_face_lies_where_the_box_says_and_has_the_size_asked_for(layout: Layout) -> None:
    image = np.full((120, 200, 3), 40, np.uint8)
    image[30:70, 90:130] = 250
    laid = lay(Scene(image, (90.0, 30.0, 129.0, 69.0)), layout, np.random.default_rng(3))
    assert laid.image_HWC.shape == (CANVAS[1], CANVAS[0], 3)
    assert side_of(laid.box) == pytest.approx(layout.share * CANVAS[0])
    bright = np.argwhere(laid.image_HWC[..., 0] > 200)
    x0, y0, x1, y1 = laid.box
    assert bright.mean(axis=0) == pytest.approx([(y0 + y1) / 2, (x0 + x1) / 2], abs=0.02 * side_of(laid.box) + 1)
    assert min(x0, y0) >= 0 and x1 <= CANVAS[0] and y1 <= CANVAS[1]


def test_finds_count_from_their_score_on() -> None:
    counted = summarise([Found(0.9, [0.55]), Found(0.62, []), Found(0.0, [0.7, 0.66])])
    by_score = dict(zip(SCORES, zip(counted["found"], counted["others"], strict=True), strict=True))
    assert by_score[0.5] == (66.67, 3)
    assert by_score[0.65] == (33.33, 2)
    assert by_score[0.8] == (33.33, 0)
    report = {"faces": 3, "scores": list(SCORES), "rows": [{"name": "large", **counted}]}
    assert "| large | 66.7; 3 |" in table(report)


def test_an_empty_scene_has_no_find() -> None:
    grey = Scene(np.full((100, 100, 3), 128, np.uint8), (20.0, 20.0, 80.0, 80.0))
    assert measure([("one", grey)], LAYOUTS[1]) == [Found(0.0, [])]
