from datetime import date, timedelta
from pathlib import Path

import pytest

from model.errors import ConfigError
from supply.policy import Advisory, expired, load_policy

WAIVER = Advisory(
    id="PYSEC-2026-1", package="pillow", until=date(2026, 12, 31), reason="the reader is never called here"
)


def test_the_committed_policy_is_readable_and_no_exception_outlives_two_years():
    """T46."""
    policy = load_policy()
    items = [*policy.advisory, *policy.licence, *policy.secret]
    assert items
    assert all(item.until < date.today() + timedelta(days=730) for item in items)


def test_an_exception_holds_on_its_last_day_and_not_after_it():
    """T46."""
    assert expired([WAIVER], WAIVER.until) == []
    (line,) = expired([WAIVER], WAIVER.until + timedelta(days=1))
    assert "advisory PYSEC-2026-1 pillow: the exception ended on 2026-12-31" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[advisory]]\nid = "X"\npackage = "x"\nreason = "twenty letters or more"', "until"),
        ('[[advisory]]\nid = "X"\npackage = "x"\nuntil = 2027-01-01\nreason = "later"', "reason"),
        ('[[advisory]]\nid = "X"\npackage = "x"\nuntil = "some day"\nreason = "twenty letters or more"', "until"),
        ("[[waiver]]", "waiver"),
        ("[[", "policy.toml"),
    ],
)
def test_a_policy_without_date_or_reason_is_refused(tmp_path: Path, text: str, words: str):
    """T46."""
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_policy(tmp_path / "policy.toml")
