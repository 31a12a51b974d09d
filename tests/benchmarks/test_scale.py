"""Index and validation at scale: on a small set, with every planted copy found."""

from pathlib import Path

import pytest

from benchmarks.scale import STEPS, measure, missed_goals, run_step, table
from model.errors import FaceError


def test_every_planted_copy_is_found_and_memory_and_seconds_are_told() -> None:
    row = measure(60, seed=1, copies=0.1)
    assert row["planted"] == row["found"] == {"same bytes": 2, "JPEG at 50": 2, "mirrored": 2}
    assert row["strangers"] == 0
    assert all(row[step]["peak_mb"] > 50 and row[step]["s"] > row[step]["cpu_s"] / 8 > 0 for step in STEPS)


def test_a_failing_step_ends_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"rmtl index: exit code 2: .*params\.yaml"):
        run_step(tmp_path, "index")


def test_each_missed_goal_is_named() -> None:
    step = {"s": 140.0, "cpu_s": 100.0, "peak_mb": 1500}
    row = {"faces": 1000, **dict.fromkeys(STEPS, step), "planted": {"mirrored": 3}, "found": {"mirrored": 3}}
    good = {**row, "strangers": 0}
    assert missed_goals({"rows": [good]}) == []
    slow, large = {**good, "index": {**step, "s": 161.0}}, {**good, "validate": {**step, "peak_mb": 2100}}
    blind, hasty = {**good, "found": {"mirrored": 2}}, {**good, "strangers": 1}
    said = missed_goals({"rows": [slow, large, blind, hasty]})
    assert [next(word for word in ("301 s", "2100 MB", "copies") if word in text) for text in said] == [
        *("301 s", "2100 MB"),
        *("copies", "copies"),
    ]
    assert "280.00 (200.00) | 3 of 3 |" in table({"rows": [good]})
