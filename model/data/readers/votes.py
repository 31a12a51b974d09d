"""FER+ votes: ten taggers a picture, columns in any order, and the label of their majority.

The table as it is published names no picture in the lines of those that nobody took for a face: they are passed over.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from model.data.readers.common import cells, label_of, problem, read_text
from model.errors import DataContractError
from model.schema import EXPRESSIONS, VOTES

MOST_VOTES = 2**31 - 1
"""What a manifest can hold."""


class Line(NamedTuple):
    """A line of a table: its number, and the counts in the order of `schema.VOTES` or a problem."""

    number: int
    votes: list[int] | str


class Votes(NamedTuple):
    """A table of votes.

    Attributes:
        table: what problems call it.
        of_picture: lines by the name in the first picture column (`image`, `Image name`), a path or a file name.
        nameless: the problem of each malformed line that names no picture, by its number.
    """

    table: str
    of_picture: dict[str, Line]
    nameless: dict[int, str]

    def match(self, images: Sequence[str]) -> dict[str, list[int] | str]:
        """What the table has of each picture by its path, else by its file name; a problem where that is unclear."""
        named = Counter(PurePath(image).name for image in images)
        found = {image: self._find(image, named[PurePath(image).name]) for image in images}
        return {image: votes for image, votes in found.items() if votes is not None}

    def _find(self, image: str, pictures: int) -> list[int] | str | None:
        name = PurePath(image).name
        by_path, by_name = self.of_picture.get(image), self.of_picture.get(name)
        if by_path is not None and by_name is not None and pictures == 1:
            return _repeated(self.table, image, by_path.number, by_name.number)
        if by_path is not None or by_name is None:
            return None if by_path is None else by_path.votes
        what = f"`{name}` may be any of {pictures} pictures; write paths there, such as `{image}`"
        return by_name.votes if pictures == 1 else problem("ambiguous_votes", self.table, what, by_name.number)


def read_votes(path: Path, name: str) -> Votes:
    """The table at `path`; problems call it `name`.

    Raises:
        DataContractError: no file, no picture column, or a missing vote column.
    """
    if not path.is_file():
        raise DataContractError(f"{path}: no such file; it is the `votes` table named in index.sources")
    first, *lines = read_text(path).splitlines() or [""]
    image, columns = _columns(cells(first), path)
    votes = Votes(name, {}, {})
    for number, line in enumerate(lines, start=2):
        row = cells(line)
        picture = row[image].strip() if image < len(row) else ""
        read = _counts(row, columns) or problem("malformed_row", name, f"not ten counts: {line[:80]}", number)
        if picture in votes.of_picture:
            text = _repeated(name, picture, votes.of_picture[picture].number, number)
            votes.of_picture[picture] = Line(number, text)
        elif picture:
            votes.of_picture[picture] = Line(number, read)
        elif row and isinstance(read, str):
            votes.nameless[number] = read
    return votes


def majority(votes: list[int]) -> str | None:
    """The FER+ label: counts of 1 become 0; the top must have more than half of the rest and be one of our seven."""
    counts = [0 if count <= 1 else count for count in votes]
    top = max(range(len(VOTES)), key=counts.__getitem__)
    if VOTES[top] not in EXPRESSIONS or 2 * counts[top] <= sum(counts):
        return None
    return VOTES[top]


def _repeated(table: str, picture: str, one: int, other: int) -> str:
    what = f"{picture} has votes in line {min(one, other)} too; leave one of them"
    return problem("repeated_votes", table, what, max(one, other))


def _columns(header: list[str], path: Path) -> tuple[int, list[int]]:
    """The column of the picture's name, and those of the counts in the order of `schema.VOTES`."""
    image = next((index for index, name in enumerate(header) if name.strip().lower() in ("image", "image name")), None)
    columns = {label_of(name): index for index, name in enumerate(header) if index != image}
    if image is None or any(name not in columns for name in VOTES):
        raise DataContractError(
            f"{path}: columns {', '.join(header)}; need `image` and a count for each of {', '.join(VOTES)}"
        )
    return image, [columns[name] for name in VOTES]


def _counts(row: list[str], columns: list[int]) -> list[int] | None:
    """The counts of a line; None where they are not ten that a manifest can hold."""
    try:
        counts = [int(row[column]) for column in columns]
    except (ValueError, IndexError):
        return None
    return counts if min(counts) >= 0 and max(counts) <= MOST_VOTES else None
