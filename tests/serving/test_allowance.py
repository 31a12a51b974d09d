"""What one request may ask in sum: it is answered up to there, and the rest refused before the work is done."""

import cv2
import numpy as np
import pytest

from model.data.codec import Window
from model.errors import ImageError
from model.serving import allowance as module
from model.serving import predictor as predictor_module
from model.serving.allowance import TIMES_ONE_PICTURE, Allowance
from model.serving.predictor import Predictor
from model.serving.schema import Picture, RequestError

SIDE = 60
WHOLE = (0.0, 0.0, SIDE - 1.0, SIDE - 1.0)
PART = (0.0, 0.0, SIDE - 1.0, SIDE - 10.0)
"""No face crop, so that its window is larger than the picture."""


def flat(side: int = SIDE) -> bytes:
    return bytes(cv2.imencode(".png", np.full((side, side, 3), 90, np.uint8))[1])


def codes(answers):
    return [answer["error"] and answer["error"]["code"] for answer in answers]


@pytest.fixture
def bounded(weights) -> Predictor:
    """One whose largest picture is just `flat()`."""
    return Predictor(weights, max_pixels=SIDE * SIDE, max_faces=2)


@pytest.fixture
def decoded(monkeypatch):
    """Contents that are decoded, as far as their size allows."""
    seen = []

    def decode(content, *, max_pixels):
        image = decode_image(content, max_pixels=max_pixels)
        seen.append(content)
        return image

    decode_image = module.decode_image
    monkeypatch.setattr(module, "decode_image", decode)
    return seen


def test_pictures_are_decoded_until_their_pixels_exceed_what_a_request_may_ask(bounded, decoded):
    answers = bounded.predict_many([Picture(flat(), [])] * (TIMES_ONE_PICTURE + 2))
    assert codes(answers) == [None] * TIMES_ONE_PICTURE + ["image_too_large"] * 2
    assert len(decoded) == TIMES_ONE_PICTURE
    assert "0 are left" in answers[-1]["error"]["message"] and "send fewer" in answers[-1]["error"]["message"]
    assert bounded.predict(flat(), [])["error"] is None


def test_a_picture_that_is_too_large_by_itself_takes_nothing_from_the_others(bounded):
    pictures = [Picture(flat(SIDE + 1), [])] * 9 + [Picture(b"bad", [])] * 9 + [Picture(flat(), [])]
    assert codes(bounded.predict_many(pictures))[-1] is None


def test_a_damaged_picture_takes_the_pixels_that_it_claims(bounded):
    damaged = flat()[: len(flat()) // 2]
    answers = bounded.predict_many([Picture(damaged, [])] * TIMES_ONE_PICTURE + [Picture(flat(), [])])
    assert codes(answers) == ["truncated_image"] * TIMES_ONE_PICTURE + ["image_too_large"]


def test_boxes_that_cover_a_picture_over_and_over_are_refused_before_one_is_cut(weights, monkeypatch):
    """Fewer are answered, and so are as many small ones."""
    cut = []
    crop = predictor_module.crop_face
    monkeypatch.setattr(predictor_module, "crop_face", lambda *given, **more: cut.append(given) or crop(*given, **more))
    predictor = Predictor(weights, max_pixels=SIDE * SIDE)
    most = TIMES_ONE_PICTURE - 1  # the picture itself takes its pixels too
    for box in (WHOLE, PART, (-1e5, -1e5, 1e5, 1e5)):
        assert len(predictor.predict(flat(), [box] * most)["faces"]) == most
        cut.clear()
        answer = predictor.predict(flat(), [box] * (most + 1))
        assert (answer["error"]["code"], answer["faces"], cut) == ("bad_request", [], [])
    assert len(predictor.predict(flat(), [(5.0, 5.0, 10.0, 10.0)] * 64)["faces"]) == 64


def test_faces_of_all_pictures_together_are_bounded(bounded):
    """Each picture has no more than one may have."""
    small = [(5.0, 5.0, 8.0, 8.0)] * 2
    pictures = [Picture(flat(20), small)] * (TIMES_ONE_PICTURE + 1) + [Picture(flat(20), [])]
    assert codes(bounded.predict_many(pictures)) == [None] * TIMES_ONE_PICTURE + ["bad_request", None]


def test_faces_that_are_found_count_too(bounded, monkeypatch):
    monkeypatch.setattr(predictor_module, "find_faces", lambda _: [((5.0, 5.0, 8.0, 8.0), 0.9)] * 2)
    answers = bounded.predict_many([Picture(flat(20))] * (TIMES_ONE_PICTURE + 1))
    assert codes(answers) == [None] * TIMES_ONE_PICTURE + ["bad_request"]


def test_a_window_outside_of_the_picture_takes_no_pixels():
    allowance = Allowance(max_pixels=SIDE * SIDE, max_faces=100)
    image = allowance.decode(flat())
    allowance.take_faces(image, [Window(-500.0, 500.0, 50.0)] * 50)
    allowance.take_faces(image, [Window(SIDE / 2, SIDE / 2, 2.0 * SIDE)] * (TIMES_ONE_PICTURE - 1))
    with pytest.raises(RequestError, match="0 are left"):
        allowance.take_faces(image, [Window(SIDE / 2, SIDE / 2, 1.0)])
    with pytest.raises(ImageError, match="send fewer pictures"):
        allowance.decode(flat(1))
