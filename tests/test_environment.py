"""Numbers from environment variables."""

import pytest

from model.environment import whole_number
from model.errors import ConfigError

NAME = "RMTL_TEST_NUMBER"


@pytest.mark.parametrize(("text", "number"), [(None, 7), ("", 7), ("2", 2), ("9", 9)])
def test_unset_and_empty_mean_the_default(monkeypatch: pytest.MonkeyPatch, text: str | None, number: int) -> None:
    if text is not None:
        monkeypatch.setenv(NAME, text)
    assert whole_number(NAME, 7, least=2, most=9) == number


@pytest.mark.parametrize("text", ["1", "10", "-3", "2.5", "two", "²", " "])
def test_another_value_is_named_with_its_range(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ConfigError, match=f"{NAME}={text}: need a whole number from 2 to 9"):
        whole_number(NAME, 7, least=2, most=9)
