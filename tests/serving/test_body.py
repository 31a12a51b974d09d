import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.serving.body import read_body
from model.serving.schema import RequestError, check_box


def test_any_other_type_is_the_bytes_of_one_picture():
    body = read_body("image/jpeg", b"abc", max_pictures=1)
    assert [item.content for item in body.pictures] == [b"abc"]
    assert not body.listed


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_multipart_keeps_bytes_and_order_of_parts_of_one_name(parts):
    boundary = "frontier-of-no-part-1234567"
    text = b"".join(b"--" + boundary.encode() + b"\r\nA: b\r\n\r\n" + part + b"\r\n" for part in parts)
    kind = f'multipart/form-data; boundary="{boundary}"'
    body = read_body(kind, text + b"--" + boundary.encode() + b"--\r\n", max_pictures=9)
    assert [item.content for item in body.pictures] == parts
    assert body.listed


def test_json_instances_carry_pictures_and_boxes():
    image = base64.b64encode(b"abc").decode()
    instances = [{"image": image, "boxes": [[1, 2, 3, 4]]}, {"image": image}]
    body = read_body("application/json; charset=utf-8", json.dumps({"instances": instances}).encode(), max_pictures=2)
    assert [item.boxes for item in body.pictures] == [[(1.0, 2.0, 3.0, 4.0)], None]


@pytest.mark.parametrize("edge", [1e-310, 1e-5, 0.0, -1.0, 1e300])
def test_a_box_without_room_is_refused(edge):
    with pytest.raises(ValueError, match=r"box \[0\.0, 0\.0, "):
        check_box([0.0, 0.0, edge, edge])


def test_bad_base64_spoils_its_own_picture_only():
    instances = [{"image": "?"}, {"image": base64.b64encode(b"abc").decode()}]
    bad, good = read_body("application/json", json.dumps({"instances": instances}).encode(), max_pictures=2).pictures
    assert bad.problem and not good.problem


def test_more_pictures_than_allowed_are_refused():
    instances = [{"image": ""}] * 3
    with pytest.raises(RequestError, match="3 pictures, at most 2"):
        read_body("application/json", json.dumps({"instances": instances}).encode(), max_pictures=2)


@given(st.binary(max_size=300), st.sampled_from(["application/json", "multipart/form-data; boundary=b", "x/y", ""]))
def test_no_body_raises_anything_but_a_request_error(content, kind):
    try:
        read_body(kind, content, max_pictures=4)
    except RequestError as error:
        assert error.code == "bad_request"


@pytest.mark.parametrize("edge", ['"1"', "true", "null", "[1]"])
def test_an_edge_of_a_box_is_a_number_and_nothing_like_it(edge):
    body = f'{{"instances": [{{"image": "", "boxes": [[0, 0, {edge}, 9]]}}]}}'
    with pytest.raises(RequestError, match=r"instances\.0\.boxes\.0\.2: .*number"):
        read_body("application/json", body.encode(), max_pictures=1)
