"""Differences between two models' answers, and the bounds on their sums."""

import json

import pytest

from model.config import CanaryConfig
from model.schema import EXPRESSIONS, LANDMARKS
from model.serving.comparison import Breach, Difference, Tally, compare

LIMITS = CanaryConfig(min_requests=4, max_error_rate=0.25, max_disagreement=0.5, max_point_difference=0.1, shadow=1.0)


def face(left=0.0, *, side=100.0, shift=(0.0, 0.0), top="happy"):
    """A face of a square box, its points in the middle but for a shift in pixels."""
    points = [[left + side / 2 + shift[0], side / 2 + shift[1]]] * LANDMARKS
    shares = {name: 0.4 if name == top else 0.1 for name in EXPRESSIONS}
    return {"box": [left, 0.0, left + side, side], "landmarks": points, "expression": shares}


def answer(*faces, error=None):
    return {"faces": list(faces), "error": error}


def encode(content):
    return json.dumps(content).encode()


def test_an_answer_does_not_differ_from_itself():
    same = encode(answer(face(), face(300)))
    assert compare(same, same) == Difference(2, 0, [0.0, 0.0], (False, False))


@pytest.mark.parametrize("side", [10.0, 100.0, 1000.0])
def test_points_are_compared_relative_to_the_box(side):
    """3 and 4 of 100 pixels are 5 hundredths, at any size."""
    moved = face(side=side, shift=(0.03 * side, 0.04 * side))
    assert compare(encode(answer(face(side=side))), encode(answer(moved))).points == pytest.approx([0.05])


def test_faces_are_matched_by_place_and_one_that_is_found_once_disagrees():
    champion = answer(face(), face(300, top="sad"))
    challenger = answer(face(305, top="fear"), face(), face(900))
    found = compare(encode(champion), encode(challenger))
    assert (found.faces, found.disagreeing) == (3, 2)
    assert found.points == pytest.approx([0.0, 0.05])


def test_a_picture_that_one_side_refuses_is_that_side_s_error():
    refusal = {"error": {"code": "not_an_image", "message": "no"}}
    assert compare(encode(answer(face())), encode(refusal)) == Difference(0, 0, [], (False, True))
    assert compare(encode(refusal), encode(answer(face()))) == Difference(0, 0, [], (True, False))
    assert compare(encode(refusal), encode(refusal)) == Difference(0, 0, [], (False, False))


def test_pictures_of_a_list_are_compared_one_by_one():
    refused = answer(error={"code": "bad_request", "message": "no"})
    champion = {"predictions": [answer(face()), answer(face()), refused]}
    challenger = {"predictions": [answer(face(top="sad")), refused, refused]}
    assert compare(encode(champion), encode(challenger)) == Difference(1, 1, [0.0], (False, True))


def test_a_list_that_one_side_refuses_as_a_whole_is_that_side_s_error():
    answers = encode({"predictions": [answer(face()), answer(face())]})
    refusal = encode(answer(error={"code": "bad_request", "message": "2 pictures, at most 1 in one request"}))
    assert compare(answers, refusal) == Difference(0, 0, [], (False, True))
    assert compare(refusal, answers) == Difference(0, 0, [], (True, False))
    with pytest.raises(ValueError, match="no answer of the endpoint"):
        compare(answers, encode({"predictions": [answer(face())]}))


@pytest.mark.parametrize("content", [b"hello", b"[1]", b'{"predictions": [{}, {}]}', b'{"faces": []}'])
def test_what_is_no_answer_is_not_compared(content):
    with pytest.raises(ValueError, match="no answer of the endpoint"):
        compare(encode(answer(face())), content)


def test_no_bound_is_judged_before_enough_requests_stand_behind_it():
    tally = Tally()
    for count in range(LIMITS.min_requests):
        assert tally.breach(LIMITS) is None, count
        tally.add(Difference(1, 1, [0.0], (False, False)))
    assert tally.breach(LIMITS) == Breach("max_disagreement", 1.0, 0.5)


def test_a_rate_at_its_bound_is_within_it():
    tally = Tally()
    for disagreeing in (0, 1, 0, 1):
        tally.add(Difference(1, disagreeing, [0.1], (False, False)))
        tally.challenger.answered("8", 0.1)
    tally.challenger.errors = 1
    assert (tally.disagreement, tally.point_mean, tally.challenger.error_rate) == (0.5, 0.1, 0.25)
    assert tally.breach(LIMITS) is None
    tally.challenger.failed()
    assert tally.breach(LIMITS) == Breach("max_error_rate", 0.4, 0.25)


def test_points_far_apart_break_their_bound():
    tally = Tally()
    for distance in (0.0, 0.1, 0.2, 0.3):
        tally.add(Difference(1, 0, [distance], (False, False)))
    found = tally.breach(LIMITS)
    assert found == Breach("max_point_difference", pytest.approx(0.15), 0.1)
    assert tally.report()["point_difference"] == {"mean": pytest.approx(0.15), "max": 0.3}


def test_the_report_holds_numbers_and_versions_alone():
    tally = Tally()
    tally.champion.answered("7", 0.1)
    tally.champion.answered("7", 0.3)
    tally.challenger.failed()
    report = tally.report()
    assert report["champion"]["mean_ms"] == pytest.approx(200)
    assert report["champion"]["slowest_ms"] == pytest.approx(300)
    assert (report["challenger"]["requests"], report["challenger"]["error_rate"]) == (1, 1.0)
    numbers = [value for name, value in report.items() if name not in ("champion", "challenger", "point_difference")]
    assert all(isinstance(value, int | float) for value in numbers)
