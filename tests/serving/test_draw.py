import cv2
import numpy as np
import pytest

from model.errors import ImageError
from model.serving.draw import MIN_SIDE, draw_faces


def read(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_points_are_drawn_into_an_enlarged_picture(predictor, picture):
    content, boxes = picture
    drawn = read(draw_faces(content, predictor.predict(content, boxes)["faces"]))
    assert max(drawn.shape) == MIN_SIDE
    assert (drawn != read(draw_faces(content, []))).any()


def test_faces_over_the_border_are_drawn_as_far_as_they_go(predictor, picture):
    content, _ = picture
    assert draw_faces(content, predictor.predict(content, [(-200.0, -90.0, 40.0, 60.0)])["faces"])


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError, match="need JPEG"):
        draw_faces(b"hello", [])
