"""Two nets on the same faces: the record that the step `evaluate` of a champion writes and the gate reads."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from model.errors import RegistryError, StorageError
from model.storage import read_json

COMPARISON_FILE = "comparison.json"


@dataclass(frozen=True)
class Difference:
    """Challenger less champion for one measure on one slice, in percent; `low` and `high` are those of the difference.

    Every resample draws the same faces for both, so that what both find hard does not widen the interval. `n` counts
    the faces of the slice that both answered and that carry a label.
    """

    task: str
    metric: str
    normaliser: str | None
    subset: str
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """All differences of two sets of weights on one version of the data; `level` is the coverage of the intervals."""

    weights_digest: str
    champion_digest: str
    data_digest: str
    level: float
    differences: list[Difference]


_COMPARISON = TypeAdapter(Comparison)


def read_comparison(path: Path) -> Comparison:
    """A comparison from its file.

    Raises:
        RegistryError: missing or malformed.
    """
    try:
        return _COMPARISON.validate_python(read_json(path))
    except (ValidationError, StorageError) as error:
        raise RegistryError(f"{path}: not a comparison: {error}; run `rmtl evaluate --champion`") from error
