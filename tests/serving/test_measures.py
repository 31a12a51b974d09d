import json

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.schema import EXPRESSIONS
from model.serving.measures import Measures, decode

COUNTS = st.lists(st.integers(0, 9))
SHARES = st.lists(st.floats(0, 1))


@settings(max_examples=30)
@given(st.builds(Measures, faces=COUNTS, sides=COUNTS, brightness=SHARES, errors=st.lists(st.text(max_size=9))))
def test_what_is_encoded_is_one_line_and_decoded_again(seen):
    text = seen.encode()
    assert text.isascii() and text.isprintable()
    assert decode(text) == seen


def test_what_another_version_tells_is_left_out():
    for text in (None, "", "x", "[1]", '{"batch": 1, "colour": 3}'):
        assert decode(text) is None, text


def test_a_picture_and_its_answer_become_numbers(predictor, picture):
    content, boxes = picture
    seen = Measures()
    seen.note(predictor.predict(content, boxes, watch=seen.see))
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert seen.brightness[0] == round(seen.brightness[0], 3)
    assert abs(seen.brightness[0] - pixels.mean() / 255) < 0.02
    assert (seen.sides, seen.faces, len(seen.confidence)) == ([max(pixels.shape[:2])], [1], 1)
    assert set(seen.expressions) < set(EXPRESSIONS)
    (x0, y0, x1, y1) = boxes[0]
    assert abs(seen.face_sides[0] - ((x1 - x0) * (y1 - y0)) ** 0.5) < 0.1


def test_a_picture_that_cannot_be_answered_leaves_its_code_only(predictor):
    seen = Measures()
    seen.note(predictor.predict(b"hello", watch=seen.see))
    assert json.loads(seen.encode()) == json.loads(Measures(errors=["not_an_image"]).encode())


def test_the_numbers_of_the_largest_request_fit_into_a_header(config, predictor, picture):
    answer = predictor.predict(*picture)
    seen = Measures()
    for _ in range(config.package.max_pictures):
        seen.note(answer | {"faces": answer["faces"] * config.package.max_faces})
    assert len(seen.encode()) < 60_000
