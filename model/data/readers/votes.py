"""FER+ votes: ten taggers a picture, columns in any order, and the label of their majority."""

import csv
from pathlib import Path

from model.data.readers.common import label_of, read_text
from model.errors import DataContractError
from model.schema import EXPRESSIONS, VOTES


def read_votes(path: Path) -> dict[str, list[int]]:
    """Counts in the order of `schema.VOTES` by the name in the table's first picture column (`image`, `Image name`).

    Raises:
        DataContractError: no file, no picture column, a missing vote column, or a count that is not a whole number.
    """
    if not path.is_file():
        raise DataContractError(f"{path}: no such file; it is the `votes` table named in index.sources")
    reader = csv.reader(read_text(path).splitlines())
    header = next(reader, [])
    image = next((index for index, name in enumerate(header) if name.strip().lower() in ("image", "image name")), None)
    columns = {label_of(name): index for index, name in enumerate(header) if index != image}
    missing = [name for name in VOTES if name not in columns]
    if image is None or missing:
        raise DataContractError(
            f"{path}: columns {', '.join(header)}; need `image` and a count for each of {', '.join(VOTES)}"
        )
    votes: dict[str, list[int]] = {}
    for row in reader:
        try:
            votes[row[image].strip()] = [int(row[columns[name]]) for name in VOTES]
        except (ValueError, IndexError) as error:
            raise DataContractError(f"{path}, line {reader.line_num}: not ten counts: {','.join(row)[:80]}") from error
    return votes


def majority(votes: list[int]) -> str | None:
    """The FER+ label: counts of 1 become 0; the top must have more than half of the rest and be one of our seven."""
    counts = [0 if count <= 1 else count for count in votes]
    top = max(range(len(VOTES)), key=counts.__getitem__)
    if VOTES[top] not in EXPRESSIONS or 2 * counts[top] <= sum(counts):
        return None
    return VOTES[top]
