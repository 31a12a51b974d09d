"""Class folders: `<split>/<class name>/*.{png,jpg,jpeg,bmp,webp}`, as FER2013 is shared, or anybody's own data.

An entry of `splits` is a folder below `path` that holds the class folders; it is the subset too. Folder names map to
our classes by alias (`angry` is anger); `contempt` and the like are read, but have no expression. Pictures are face
crops. `votes` names a FER+ table below `path`: its counts fill the column `votes`, and the label of their majority is
the fact `ferplus` (null where there is none). A malformed line of it, a second one for a picture, and one that names
several pictures are problems of their pictures; a malformed one that names none is a row of its own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.config.data import Source
from model.data.readers.common import (
    ALIASES,
    PICTURE_SUFFIXES,
    expression_fields,
    facts_text,
    label_of,
    problem,
    record,
    require_folder,
    split_parts,
    visible,
)
from model.data.readers.votes import Votes, majority, read_votes
from model.errors import DataContractError
from model.schema import FaceRecord


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a file; a file that is no picture is a row with a problem."""
    root = require_folder(data / source.path, source)
    files = list(_files(source, root))
    votes = read_votes(root / source.votes, f"{source.path}/{source.votes}") if source.votes else None
    found = votes.match([image for _, image, _ in files]) if votes else {}
    for split, image, label in files:
        yield _face(source, split, image, label, found.get(image))
    if votes is not None:
        yield from _nameless(source, votes)


def _files(source: Source, root: Path) -> Iterator[tuple[str, str, str]]:
    """Split, path below `root` and label of each file."""
    for split, part in split_parts(source):
        for folder, label in _classes(require_folder(root / part, source)):
            for file in visible(folder):
                yield split, f"{part}/{folder.name}/{file.name}", label


def _classes(root: Path) -> list[tuple[Path, str]]:
    folders = [item for item in visible(root) if item.is_dir()]
    labels = [(folder, label_of(folder.name)) for folder in folders]
    unknown = [folder.name for folder, label in labels if label is None]
    if unknown or not folders:
        raise DataContractError(
            f"{root}: unknown class folder {', '.join(unknown) or '(there is none at all)'}; "
            f"known are {', '.join(sorted(ALIASES))}: rename it, or move it out of the set"
        )
    return [(folder, label) for folder, label in labels if label is not None]


def _face(source: Source, split: str, image: str, label: str, counts: list[int] | str | None) -> FaceRecord:
    subset = image.rsplit("/", maxsplit=2)[0]
    if Path(image).suffix.lower() not in PICTURE_SUFFIXES:
        what = f"suffix is none of {', '.join(sorted(PICTURE_SUFFIXES))}"
        return record(source, split, subset, image, problem=problem("not_a_picture", f"{source.path}/{image}", what))
    if isinstance(counts, str):
        return record(source, split, subset, image, problem=counts)
    fields: dict[str, Any] = expression_fields(label)
    if source.votes:
        facts = {"ferplus": majority(counts) if counts else None, "label": label}
        fields |= {"votes": counts, "facts": facts_text(facts)}
    return record(source, split, subset, image, **fields)


def _nameless(source: Source, votes: Votes) -> Iterator[FaceRecord]:
    """A row for each line of votes whose picture nobody can tell, so that it is counted and lands in quarantine."""
    table = str(source.votes)
    split, _ = next(split_parts(source))
    for number, text in votes.nameless.items():
        yield record(source, split, "", table, record_id=f"{source.name}/{table}#{number}", problem=text)
