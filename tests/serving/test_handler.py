import base64
import json
import time

import cv2
import numpy as np
import pytest
import yaml
from ts.context import Context, RequestProcessor

from model.serving.allowance import TIMES_ONE_PICTURE
from model.serving.archive import CONFIG_FILE, unpack
from model.serving.face_handler import Handler
from model.serving.schema import BODY_TYPE_HEADER, STATUS, AnswerList, Answers


@pytest.fixture(scope="module")
def folder(mar, tmp_path_factory):
    return unpack(mar, tmp_path_factory.mktemp("handler") / "model")


@pytest.fixture(scope="module")
def ask(folder):
    """Asks the handler as TorchServe does: a batch of (content type, body)."""
    settings = yaml.safe_load((folder / CONFIG_FILE).read_text())
    settings["handler"]["threads"] = 1
    context = Context("residual-mtl", str(folder), {}, 8, None, "0.12.0", model_yaml_config=settings)
    handler = Handler()
    handler.initialize(context)

    def ask(*requests):
        context.request_processor = [RequestProcessor({BODY_TYPE_HEADER.lower(): kind}) for kind, _ in requests]
        answers = handler.handle([{"body": bytearray(body)} for _, body in requests], context)
        return [
            (context.get_response_status(index)[0], context.get_response_headers(index), json.loads(answer))
            for index, answer in enumerate(answers)
        ]

    return ask


def as_json(*contents, boxes=None):
    instances = [{"image": base64.b64encode(content).decode(), "boxes": boxes} for content in contents]
    return "application/json", json.dumps({"instances": instances}).encode()


def test_a_picture_gets_the_answer_of_the_predictor(ask, predictor, picture):
    content, _ = picture
    [(status, headers, answer)] = ask(("image/png", content))
    assert status == 200
    assert answer == predictor.predict(content) | {"model_version": "7"}
    assert headers["X-Model-Version"] == "7"
    assert headers["X-Data-Digest"] == predictor.data_digest


def test_boxes_are_answered_in_their_order(ask, predictor, picture):
    content, boxes = picture
    given = [*boxes, (10.0, 20.0, 60.0, 80.0)]
    [(status, _, answer)] = ask(as_json(content, boxes=given))
    assert status == 200
    assert [face["box"] for face in answer["faces"]] == [list(box) for box in given]
    assert answer["faces"] == predictor.predict(content, given)["faces"]
    Answers.model_validate(answer)


def test_one_bad_picture_of_eight_spoils_no_other(ask, picture, as_multipart):
    """T38."""
    content, _ = picture
    [(status, _, answer)] = ask(as_multipart([content] * 3 + [b"bad"] + [content] * 4))
    assert status == 200
    errors = [item["error"] and item["error"]["code"] for item in answer["predictions"]]
    assert errors == [None] * 3 + ["not_an_image"] + [None] * 4
    AnswerList.model_validate(answer)


def test_requests_of_a_batch_have_their_own_status(ask, picture):
    answers = ask(("image/png", picture[0]), ("text/plain", b"hello"), as_json(picture[0]))
    assert [status for status, _, _ in answers] == [200, 400, 200]


def test_bad_input_gets_a_stable_code_within_a_second_of_processor(ask, bad_bodies):
    """T37."""
    for name, request in bad_bodies.items():
        started = time.process_time()
        [(status, _, answer)] = ask(request)
        assert status in (400, 413), name
        assert STATUS[answer["error"]["code"]] == status, name
        assert time.process_time() - started < 1, name


def test_pictures_that_are_within_their_limits_may_be_too_much_together(ask, config):
    """T37: as many boxes as each may have, until the allowance of one request is used up."""
    content = bytes(cv2.imencode(".png", np.full((20, 20, 3), 90, np.uint8))[1])
    boxes = [(5.0, 5.0, 8.0, 8.0)] * config.package.max_faces
    [(status, _, answer)] = ask(as_json(*[content] * (TIMES_ONE_PICTURE + 1), boxes=boxes))
    codes = [item["error"] and item["error"]["code"] for item in answer["predictions"]]
    assert (status, codes) == (200, [None] * TIMES_ONE_PICTURE + ["bad_request"])


def test_a_batch_of_photographs_is_within_the_allowance(ask, config, picture):
    """T38: as many pictures as a request may hold."""
    number = config.package.max_pictures
    [(status, _, answer)] = ask(as_json(*[picture[0]] * number, boxes=[list(picture[1][0])] * 4))
    assert status == 200
    assert [len(item["faces"]) for item in answer["predictions"]] == [4] * number


def test_the_worker_answers_after_all_bad_input(ask, bad_bodies, picture):
    """T37: no worker dies."""
    ask(*bad_bodies.values())
    assert ask(("image/png", picture[0]))[0][0] == 200
