"""What is said of changes under load: phases by the time of sending, and what failed."""

from benchmarks.load.phases import Answer, Load
from benchmarks.rollouts import table


def test_a_version_that_comes_back_is_a_phase_of_its_own() -> None:
    """T42: answers may arrive in another order than their requests were sent."""
    first, *others = [Answer(float(place), version, 0.1) for place, version in enumerate("1122")]
    load = Load(seen=[*others, first])
    assert load.versions() == ["1", "2"]
    assert [len(answers) for answers in load.phases()] == [2, 2]
    load.seen.append(Answer(9.0, "1", 0.1))
    assert load.versions() == ["1", "2", "1"]
    assert load.answers("1") == 3


def test_the_table_counts_failures_and_answers() -> None:
    """T42."""
    row = {"version": "1", "answers": 200, "change_s": 0.0, "p50_ms": 20.0, "p99_ms": 50.0, "slowest_ms": 61.0}
    report = {"clients": 4, "failures": ["503: away"], "versions": ["1", "2"], "phases": [row, row | {"version": "2"}]}
    lines = table(report).splitlines()
    assert lines[3] == "| 2 | 0.0 | 20.0 | 50.0 | 61.0 | 200 |"
    assert lines[-1].startswith("1 failed requests of 400 by 4 clients")
