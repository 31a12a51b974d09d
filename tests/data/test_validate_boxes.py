"""Overlap of boxes that may be anything: one by one and of many at once."""

import numpy as np
import pytest

from model.data.codec import tight_box
from model.data.validate.boxes import gives_size, overlap, overlaps


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    points = np.random.default_rng(0).uniform(10, 60, (9, 68, 2))
    points[8] = 30.0
    whole = list(tight_box(points[0]))
    boxes = [whole, None, [1.0, 2.0, 3.0], [np.nan, 0, 9, 9], [0, 0, np.inf, 9], [60, 60, 10, 10], [70, 70, 80, 80]]
    boxes += [[0.0, 0.0, 40.0, 50.0], [30.0, 30.0, 30.0, 30.0]]
    expected = [overlap(box, tight_box(face)) for box, face in zip(boxes, points, strict=True)]
    np.testing.assert_allclose(overlaps(boxes, points), expected, rtol=1e-12)
    assert overlaps([], np.empty((0, 68, 2))).shape == (0,)


@pytest.mark.parametrize("start", [(5.0, 6.0), (3.0, 20.0), (40.0, 30.0)])
def test_size_for_corner_is_told_wherever_the_face_begins(start) -> None:
    points = np.random.default_rng(0).uniform(0, 60, (68, 2)) + start
    x0, y0, x1, y1 = tight_box(points)
    assert gives_size((x0, y0, x1 - x0, y1 - y0), points)
    assert not gives_size((x0, y0, x1, y1), points)
    assert not gives_size((x0, y0, x1, y1), points[:0])


@pytest.mark.parametrize("share", [-0.12, -0.06, 0.06, 0.12])
def test_a_loose_or_narrow_box_is_no_size(share) -> None:
    points = np.random.default_rng(0).uniform(5, 65, (68, 2))
    x0, y0, x1, y1 = tight_box(points)
    assert not gives_size((x0 - 60 * share, y0 - 60 * share, x1 + 60 * share, y1 + 60 * share), points)
