"""What training and search tell about themselves; `registry.tracking` implements it on MLflow."""

from collections.abc import Mapping
from typing import Any, Protocol


class RunLog(Protocol):
    """A place for parameters and curves. An implementation never raises: a dead server costs no training."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Record dotted parameter names and values, once."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record `split/name_qualifier` values at a step."""


class NullLog:
    """Tells nobody."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Drop the values."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Drop the values."""
