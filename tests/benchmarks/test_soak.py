"""The soak: a leak shows in the slope."""

import pytest

from benchmarks.soak import slopes


def test_a_leak_is_told_by_process_and_the_start_does_not_count() -> None:
    sizes = [{"s": 10.0 * step, "router": 100 + 0.5 * step, "workers": 400.0 + 300 * (step < 10)} for step in range(60)]
    found = slopes(sizes)
    assert found["router"] == pytest.approx(3.0)
    assert found["workers"] == pytest.approx(0, abs=1e-6)
