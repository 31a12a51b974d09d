"""FER+ votes: ten taggers a picture, columns in any order, and the label of their majority."""

from pathlib import Path
from typing import NamedTuple

from model.data.readers.common import cells, label_of, problem, read_text
from model.errors import DataContractError
from model.schema import EXPRESSIONS, VOTES

MOST_VOTES = 2**31 - 1
"""What a manifest can hold."""


class Votes(NamedTuple):
    """A table of votes.

    Attributes:
        of_picture: counts in the order of `schema.VOTES`, or the problem of a malformed line, by the name in the first
            picture column (`image`, `Image name`).
        nameless: the problem of each malformed line that names no picture, by its number.
    """

    of_picture: dict[str, list[int] | str]
    nameless: dict[int, str]

    def find(self, image: str) -> list[int] | str | None:
        """What the table has of a picture, by its path or by its file name; None where it has nothing."""
        return self.of_picture.get(image) or self.of_picture.get(Path(image).name)


def read_votes(path: Path, name: str) -> Votes:
    """The table at `path`; problems call it `name`.

    Raises:
        DataContractError: no file, no picture column, or a missing vote column.
    """
    if not path.is_file():
        raise DataContractError(f"{path}: no such file; it is the `votes` table named in index.sources")
    first, *lines = read_text(path).splitlines() or [""]
    image, columns = _columns(cells(first), path)
    votes = Votes({}, {})
    for number, line in enumerate(lines, start=2):
        row = cells(line)
        if not row:
            continue
        picture = row[image].strip() if image < len(row) else ""
        try:
            votes.of_picture[picture] = [_count(row[column]) for column in columns]
        except (ValueError, IndexError):
            what = problem("malformed_row", name, f"not ten counts: {line[:80]}", number)
            if picture:
                votes.of_picture[picture] = what
            else:
                votes.nameless[number] = what
    return votes


def majority(votes: list[int]) -> str | None:
    """The FER+ label: counts of 1 become 0; the top must have more than half of the rest and be one of our seven."""
    counts = [0 if count <= 1 else count for count in votes]
    top = max(range(len(VOTES)), key=counts.__getitem__)
    if VOTES[top] not in EXPRESSIONS or 2 * counts[top] <= sum(counts):
        return None
    return VOTES[top]


def _columns(header: list[str], path: Path) -> tuple[int, list[int]]:
    """The column of the picture's name, and those of the counts in the order of `schema.VOTES`."""
    image = next((index for index, name in enumerate(header) if name.strip().lower() in ("image", "image name")), None)
    columns = {label_of(name): index for index, name in enumerate(header) if index != image}
    if image is None or any(name not in columns for name in VOTES):
        raise DataContractError(
            f"{path}: columns {', '.join(header)}; need `image` and a count for each of {', '.join(VOTES)}"
        )
    return image, [columns[name] for name in VOTES]


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MOST_VOTES:
        raise ValueError(text)
    return number
