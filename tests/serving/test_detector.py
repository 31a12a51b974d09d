import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.codec import overlap, tight_box
from model.serving.detector import _landmark_box, _windows, find_faces

KEYPOINTS = np.array([(35.0, 40.0), (65.0, 40.0), (50.0, 58.0), (50.0, 72.0), (20.0, 45.0), (80.0, 45.0)])


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (200, 200), (400, 700)])
def test_nothing_is_found_where_nothing_is(shape):
    assert find_faces(np.full((*shape, 3), 128, np.uint8)) == []


@given(st.floats(0.1, 20), st.floats(-500, 500), st.floats(-500, 500))
def test_box_moves_and_grows_with_the_keypoints(scale, x, y):
    box = np.array(_landmark_box(KEYPOINTS))
    moved = np.array(_landmark_box(KEYPOINTS * scale + (x, y)))
    assert moved == pytest.approx(box * scale + (x, y, x, y), abs=1e-6 * scale + 1e-6)


def test_box_of_a_face_turned_by_a_right_angle_is_the_turned_box():
    x0, y0, x1, y1 = _landmark_box(KEYPOINTS)
    turned = _landmark_box(np.stack([-KEYPOINTS[:, 1], KEYPOINTS[:, 0]], axis=1))
    assert turned == pytest.approx((-y1, x0, -y0, x1))


def test_tiles_cover_a_large_picture_and_spare_a_small_one():
    assert len(_windows(200, 100)) == 1
    whole, *tiles = _windows(1000, 600)
    assert whole.side == 1000
    assert min(tile.cx - tile.side / 2 for tile in tiles) == pytest.approx(-0.5)
    assert max(tile.cx + tile.side / 2 for tile in tiles) == pytest.approx(999.5)


def test_overlap_is_one_for_the_same_box_and_zero_apart():
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 2, 2), (3, 3, 4, 4)) == 0
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)


@pytest.mark.data
@pytest.mark.parametrize("share", [0.4, 0.12, 0.06])
def test_real_faces_are_found_at_several_sizes(share):
    """Faces of AFW on a grey canvas of 900 x 700 pixels; a face takes `share` of its width."""
    root = os.environ.get("RMTL_BENCHMARKS")
    files = sorted(Path(root or "").rglob("afw/**/*.jpg"))[:40] if root else []
    if not files:
        pytest.skip("RMTL_BENCHMARKS does not name a folder with afw/")
    hits = [_is_found(file, share) for file in files]
    assert np.mean(hits) >= 0.95


def _is_found(file, share):
    image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    text = file.with_suffix(".pts").read_text().partition("{")[2].partition("}")[0]
    points = np.array(text.split(), dtype=float).reshape(-1, 2) - 1
    scale = share * 900 / np.ptp(points, axis=0).max()
    matrix = np.array([[scale, 0, 450 - scale * image.shape[1] / 2], [0, scale, 350 - scale * image.shape[0] / 2]])
    small = image if scale > 0.7 else cv2.GaussianBlur(image, (0, 0), 0.5 / scale)
    canvas = cv2.warpAffine(small, matrix, (900, 700), borderValue=(120, 120, 120))
    truth = tight_box(points @ matrix[:, :2].T + matrix[:, 2])
    return any(overlap(box, truth) > 0.6 for box, _ in find_faces(canvas))
