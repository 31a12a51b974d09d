import json

import numpy as np
import pytest

from model.evaluation.answers import read_truth
from model.evaluation.slices import estimate_yaw, read_facts, slice_masks
from model.schema import FaceRecord

UNKNOWN = np.full((1, 68, 2), np.nan)
BOX = np.array([[0.0, 0.0, 80.0, 60.0]])


def record(**values) -> FaceRecord:
    facts = values.pop("facts", None)
    return FaceRecord(
        "r", values.pop("source", "s"), "test", values.pop("subset", ""), "a.png",
        facts=facts if isinstance(facts, str) else json.dumps(facts) if facts else None, **values,
    )  # fmt: skip


def names(config, *records: FaceRecord) -> list[str]:
    number = len(records)
    return list(slice_masks(records, np.repeat(UNKNOWN, number, 0), np.repeat(BOX, number, 0), config.evaluate))


def test_unknown_facts_make_no_slice(config):
    assert names(config, record()) == ["all", "source=s", "size=64<side<=128"]
    assert names(config, record(facts="not json"), record(facts="[1]")) == ["all", "source=s", "size=64<side<=128"]


def test_facts_of_the_person_make_slices_and_numbers_of_years_are_grouped(config):
    found = names(
        config,
        record(facts={"age": 3, "gender": "female", "race": "Asian"}),
        record(facts={"age": 70}),
        record(facts={"age": 20}),
        record(facts={"age": 4}),
        record(facts={"age": "adult"}),
    )
    expected = ["age=0-3", "age=4-19", "age=20-39", "age=70+", "age=adult", "gender=female", "race=Asian"]
    assert found[3:] == expected


@pytest.mark.parametrize(
    ("yaw", "name"),
    [
        (-15, "pose=|yaw|<=15"),
        (15.1, "pose=15<|yaw|<=30"),
        (-90, "pose=|yaw|>30"),
        (0, "pose=|yaw|<=15"),
    ],
)
def test_known_yaw_falls_into_one_bin_by_its_size(config, yaw, name):
    assert [found for found in names(config, record(facts={"yaw": yaw})) if found.startswith("pose")] == [name]


def test_classes_come_in_the_order_of_the_names(config):
    found = names(config, record(expression="anger"), record(expression="neutral"), record())
    assert found[2:4] == ["class=neutral", "class=anger"]


def test_slices_of_a_kind_do_not_overlap(bench):
    truth = read_truth(bench.records)
    masks = slice_masks(bench.records, truth.landmarks_NK2, truth.box_N4, bench.config)
    for kind in ("source", "subset", "class", "pose", "size", "age", "gender"):
        counts = sum(mask.astype(int) for name, mask in masks.items() if name.startswith(f"{kind}="))
        assert counts.max() == 1, kind


def turned(yaw: float, roll: float = 0.0, scale: float = 40.0) -> np.ndarray:
    """Eye corners and nose tip of a head in three dimensions, seen from afar."""
    points = np.zeros((68, 3))
    points[36], points[45], points[30] = (-1.0, -0.6, 0.0), (1.0, -0.6, 0.0), (0.0, 0.0, 0.88)
    sin, cos = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
    x = points[:, 0] * cos + points[:, 2] * sin
    flat = scale * np.stack([x, points[:, 1]], 1)
    sin, cos = np.sin(np.radians(roll)), np.cos(np.radians(roll))
    return (flat @ np.array([[cos, sin], [-sin, cos]]) + 7.0)[None]


@pytest.mark.parametrize("yaw", [-50.0, -20.0, 0.0, 10.0, 35.0])
def test_yaw_is_estimated_with_its_sign_at_any_scale(yaw):
    for scale in (3.0, 300.0):
        assert estimate_yaw(turned(yaw, scale=scale))[0] == pytest.approx(yaw, abs=0.5)


def test_roll_does_not_change_the_estimate():
    assert estimate_yaw(turned(25.0, roll=40.0))[0] == pytest.approx(estimate_yaw(turned(25.0))[0])


def test_yaw_of_unknown_or_collapsed_points_is_unknown():
    assert np.isnan(estimate_yaw(UNKNOWN)).all()
    assert np.isnan(estimate_yaw(np.zeros((1, 68, 2)))).all()


def test_facts_that_are_not_an_object_are_no_facts():
    assert read_facts(record(facts="{")) == {}
    assert read_facts(record(facts={"yaw": 3})) == {"yaw": 3}
