from model.serving.cases import predict_cases


def test_answers_come_in_the_order_of_the_cases(predictor, picture, tmp_path):
    content, boxes = picture
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(b"hello")
    cases = [
        {"image": "b.png", "box": None},
        {"image": "a.png", "box": list(boxes[0])},
        {"image": "missing.png", "box": None},
        {"image": "a.png", "box": [1, 2, "x", 4]},
    ]
    answers = list(predict_cases(predictor, cases, tmp_path))
    assert [answer["image"] for answer in answers] == ["b.png", "a.png", "missing.png", "a.png"]
    codes = [answer["error"] and answer["error"]["code"] for answer in answers]
    assert codes == ["not_an_image", None, "not_an_image", "bad_request"]
    assert [answer["data_digest"] for answer in answers] == [*[predictor.data_digest] * 2, None, None]
    assert answers[1]["model_version"] == predictor.model_version
    assert answers[1]["faces"] == predictor.predict(content, boxes)["faces"]
