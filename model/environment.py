"""Numbers that come from environment variables."""

import os

from model.errors import ConfigError


def whole_number(name: str, default: int, *, least: int, most: int | None = None) -> int:
    """The number in a variable; the default where it is unset or empty.

    Raises:
        ConfigError: no whole number, or one outside the range.
    """
    text = os.environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or int(text) < least or (most is not None and int(text) > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ConfigError(f"{name}={text}: need a whole number {bounds}")
    return int(text)
