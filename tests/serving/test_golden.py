import copy

import cv2
import numpy as np
import pytest

from model.serving.golden import differences, golden_pictures


def test_pictures_are_the_same_each_time():
    assert golden_pictures(3) == golden_pictures(3)


def test_pictures_decode_and_hold_their_boxes():
    for content, [(x0, y0, x1, y1)] in golden_pictures(5):
        height, width = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert 0 <= x0 < x1 < width and 0 <= y0 < y1 < height


@pytest.mark.parametrize(("shift", "agrees"), [(0.005, True), (0.02, False)])
def test_points_may_differ_by_a_hundredth_of_a_pixel(predictor, picture, shift, agrees):
    answer = predictor.predict(*picture)
    other = copy.deepcopy(answer)
    other["faces"][0]["landmarks"][3][0] += shift
    assert (differences(answer, other) == []) is agrees


def test_a_missing_face_is_a_difference(predictor, picture):
    answer = predictor.predict(*picture)
    assert differences(answer, answer | {"faces": []})
