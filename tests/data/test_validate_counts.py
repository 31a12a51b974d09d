"""Official numbers beside what is there: a warning with the number, never a failure."""

from pathlib import Path

import pytest

from model.data.manifest import read_about
from model.data.validate.counts import count_parts, count_table
from model.schema import FaceRecord
from tests.data.bench import Bench
from tests.data.layouts import make_w300


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def record(number: int, expression: str | None = "happy") -> FaceRecord:
    return FaceRecord(f"rafdb/{number}", "rafdb", "test", "test", f"{number}.jpg", expression=expression)


def told(records: list[FaceRecord], about: dict[str, object], configured: dict[str, int]) -> list[tuple[int, str]]:
    table = count_table(count_parts(records, about, configured))
    return list(zip(table["faces"], table["told"], strict=True))


OFFICIAL = {"rafdb/test": {"faces": 3, "publication": "a paper"}}


def test_faces_that_were_excluded_count_as_there_and_are_told() -> None:
    """T08: a face without a label does not count."""
    records = [record(0), record(1), record(2, None)]
    assert told(records, {"official": OFFICIAL, "excluded": {"rafdb/test": 1}}, {}) == [
        (3, "2 labelled faces and 1 that index.exclude leaves out, the benchmark has 3 (a paper)")
    ]
    assert told(records, {"official": OFFICIAL}, {}) == [(2, "2 labelled faces, the benchmark has 3 (a paper)")]


def test_a_configured_number_wins_and_a_part_that_is_not_there_has_no_face() -> None:
    assert told([record(0)], {"official": OFFICIAL}, {"rafdb/test": 9, "rafdb/tset": 7}) == [
        (1, "1 labelled faces, the benchmark has 9 (validate.expected)"),
        (0, "0 labelled faces, the benchmark has 7 (validate.expected)"),
    ]
    assert told([record(0)], {}, {}) == []


def test_another_number_than_the_official_one_warns_and_stops_nothing(bench: Bench) -> None:
    """T08."""
    source = make_w300(bench.root, faces=20)
    gone = "w300/helen/trainset/1000_1.jpg"
    bench.index(source, holdout=0.5, exclude=(gone, "w300/ibug/image_001.png"))
    assert read_about(bench.root / "artifacts/manifest.parquet")["excluded"] == {"w300/challenging": 1, "w300/helen": 1}
    report = bench.validate(expected={"w300/helen": 20})
    assert report.warnings == [
        "official_count_w300/challenging: w300/challenging: 19 labelled faces and 1 that index.exclude leaves out, "
        "the benchmark has 135 (arXiv:1908.07919)"
    ]
    rules = {rule["rule"]: rule for rule in report.rules}
    assert rules["official_count_w300/helen"]["passed"]
    assert rules["official_count_w300/challenging"]["failed"] == 1
    assert report.counts["official"]["w300/helen"] == {
        "labelled": 19,
        "excluded": 1,
        "expected": 20,
        "publication": "validate.expected",
    }
