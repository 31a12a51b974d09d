import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from model.data.codec import decode_image, decode_points, tight_box
from model.data.transforms import crop_face
from model.errors import CheckpointError, ConfigError
from model.net.inference import FaceNet
from model.net.multitask import build_net
from model.schema import EXPRESSIONS
from model.serving import predictor as module
from model.serving.golden import differences
from model.serving.predictor import Predictor
from model.serving.schema import Answer, Picture
from model.weights import describe, load_weights, save_weights
from tests.conventions import rolled
from tests.pictures import lying


def test_answer_is_that_of_the_evaluation_road(predictor, weights, picture):
    """T31: crop, net and decoding done by hand, as evaluation does them."""
    content, boxes = picture
    net = FaceNet.load(weights)
    size, scale = net.meta.net.input_size, net.meta.net.crop_scale
    crop, matrix = crop_face(decode_image(content, max_pixels=10**6), boxes[0], size=size, crop_scale=scale)
    expected = net.answer(crop[None])
    face = predictor.predict(content, boxes)["faces"][0]
    assert np.abs(np.array(face["landmarks"]) - decode_points(expected.points_BK2[0], matrix)).max() < 0.01
    shares = [face["expression"][name] for name in EXPRESSIONS]
    assert np.abs(np.array(shares) - expected.probabilities_BE[0]).max() < 1e-5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_lies_on_its_side_has_the_same_points(orientation, predictor, picture):
    """T09: points and boxes are those of the upright picture."""
    content, boxes = picture
    upright = predictor.predict(content, boxes)["faces"][0]
    stored = lying(Image.fromarray(decode_image(content, max_pixels=10**6)), orientation)
    turned = predictor.predict(stored, boxes)["faces"][0]
    assert np.abs(np.subtract(turned["landmarks"], upright["landmarks"])).max() < 0.5


def test_answer_has_the_shape_of_the_schema(predictor, picture):
    answer = predictor.predict(*picture)
    face = Answer.model_validate(answer).faces[0]
    assert sum(face.expression.values()) == pytest.approx(1, abs=1e-5)
    assert all(0 <= value <= 1 for value in face.confidence)


def test_box_of_the_whole_picture_takes_the_picture_as_the_crop(predictor):
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    content = bytes(cv2.imencode(".png", image)[1])
    inner, outer = (predictor.predict(content, [box])["faces"][0] for box in [(0, 0, 47, 47), (0, 0, 48, 48)])
    assert inner["landmarks"] == outer["landmarks"]
    assert (inner["box"], outer["box"]) == ([0, 0, 47, 47], [0, 0, 48, 48])


def test_several_pictures_get_the_answers_of_each_and_a_bad_one_spoils_no_other(predictor, picture):
    """T38: also the number of faces differs from picture to picture."""
    content, boxes = picture
    asked = [(content, [*boxes, (10.0, 20.0, 60.0, 80.0)]), (b"bad", None), (content, []), (content, boxes)]
    together = predictor.predict_many([Picture(*item) for item in asked] + [Picture(b"", problem="not base64")])
    for answer, item in zip(together, asked, strict=False):
        assert differences(predictor.predict(*item), answer) == []
    assert [len(answer["faces"]) for answer in together] == [2, 0, 0, 1, 0]
    codes = [answer["error"] and answer["error"]["code"] for answer in together]
    assert codes == [None, "not_an_image", None, None, "bad_request"]


def test_a_picture_without_faces_is_no_error(predictor):
    content = bytes(cv2.imencode(".png", np.full((64, 64, 3), 200, np.uint8))[1])
    answer = predictor.predict(content)
    assert (answer["faces"], answer["error"]) == ([], None)


def test_found_faces_are_largest_first_with_the_tight_box_of_their_points(predictor, picture, monkeypatch):
    boxes = [(20.0, 20.0, 50.0, 55.0), (60.0, 60.0, 150.0, 150.0)]
    monkeypatch.setattr(module, "find_faces", lambda image: [(box, 0.9) for box in boxes])
    faces = predictor.predict(picture[0])["faces"]
    sizes = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (face["box"] for face in faces)]
    assert len(faces) == 2 and sizes == sorted(sizes, reverse=True)
    assert all(tuple(face["box"]) == tight_box(face["landmarks"]) for face in faces)


def test_a_face_found_twice_is_told_once(predictor, picture, monkeypatch):
    box = picture[1][0]
    monkeypatch.setattr(module, "find_faces", lambda image: [(box, 0.9), (box, 0.8)])
    assert len(predictor.predict(picture[0])["faces"]) == 1


@pytest.mark.parametrize("box", [(1, 2, 3, float("nan")), (5, 5, 5, 9), (9, 0, 1, 5), (1, 2, 3), (0, 0, 1e9, 1e9)])
def test_a_box_that_is_none_is_a_bad_request(predictor, picture, box):
    assert predictor.predict(picture[0], [box])["error"]["code"] == "bad_request"


@pytest.mark.parametrize("shape", [(8, 8), (1, 3000), (3000, 1)])
def test_a_box_far_larger_than_its_picture_takes_no_more_memory_than_a_large_picture(shape, predictor):
    """T37: however large the box, and wherever it lies."""
    content = bytes(cv2.imencode(".png", np.full((*shape, 3), 90, np.uint8))[1])
    far = 999_999.0
    boxes = [(-far, -far, far, far), (0.0, 0.0, far, 1.0), (far / 2, far / 2, far, far)]
    predictor.predict(content, boxes)
    tracemalloc.start()
    try:
        faces = predictor.predict(content, boxes)["faces"]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(faces) == len(boxes)
    assert most < 3 * 2000 * 2000


@pytest.mark.parametrize("factor", [100, 256])
def test_large_boxes_in_large_pictures_are_means_of_their_pixels(factor):
    """What bounds the work for larger boxes changes nothing here."""
    image = np.random.default_rng(0).integers(0, 256, (8 * factor, 8 * factor, 3), dtype=np.uint8)
    crop, _ = crop_face(image, (0, 0, 8 * factor, 8 * factor), size=8, crop_scale=1.3)
    mean = image.reshape(8, factor, 8, factor, 3).mean(axis=(1, 3))
    assert np.abs(crop - mean).max() <= 0.5 + 1e-6


def test_the_limit_of_pixels_is_kept(weights, picture):
    answer = Predictor(weights, max_pixels=100).predict(picture[0])
    assert answer["error"]["code"] == "image_too_large"


def test_a_convention_translates_expressions_and_leaves_points_alone(weights, picture, tmp_path):
    state, meta = load_weights(weights)
    save_weights(tmp_path, state, meta.model_copy(update={"conventions": {"turned": rolled(1)}}))
    plain, turned = (Predictor(tmp_path, convention=name).predict(*picture)["faces"][0] for name in (None, "turned"))
    values = [turned["expression"][name] for name in EXPRESSIONS]
    assert values == pytest.approx(np.roll([plain["expression"][name] for name in EXPRESSIONS], 1), abs=1e-6)
    assert turned["landmarks"] == plain["landmarks"]
    with pytest.raises(ConfigError, match="no convention other; these weights have turned"):
        Predictor(tmp_path, convention="other")


def test_weights_of_one_task_are_refused(config, tmp_path):
    residual = config.train.net.residual.model_copy(update={"kind": "none"})
    net_config = config.train.net.model_copy(update={"tasks": ("landmarks",), "residual": residual})
    changed = config.model_copy(update={"train": config.train.model_copy(update={"net": net_config})})
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    net = build_net(net_config, None, mean_shape_K2=shape, seed=0)
    meta = describe(changed.run, mean_shape=tuple(map(tuple, shape.tolist())), data_digest="", restricted=False)
    save_weights(tmp_path, net.state_dict(), meta)
    with pytest.raises(CheckpointError, match="needs both tasks"):
        Predictor(tmp_path)
