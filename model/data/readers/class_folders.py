"""Class folders: `<split>/<class name>/*.{png,jpg,jpeg,bmp,webp}`, as FER2013 is shared, or anybody's own data.

An entry of `splits` is a folder below `path` that holds the class folders; it is the subset too. Folder names map to
our classes by alias (`angry` is anger); `contempt` and the like are read, but have no expression. Pictures are face
crops. `votes` names a FER+ table below `path`: its counts fill the column `votes`, and the label of their majority is
the fact `ferplus` (null where there is none).
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
from model.data.readers.votes import majority, read_votes
from model.errors import DataContractError
from model.schema import FaceRecord


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a file; a file that is no picture is a row with a problem."""
    root = require_folder(data / source.path, source)
    votes = read_votes(root / source.votes) if source.votes else {}
    for split, part in split_parts(source):
        for folder, label in _classes(require_folder(root / part, source)):
            for file in visible(folder):
                yield _face(source, split, f"{part}/{folder.name}/{file.name}", label, votes)


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


def _face(source: Source, split: str, image: str, label: str, votes: dict[str, list[int]]) -> FaceRecord:
    subset = image.rsplit("/", maxsplit=2)[0]
    if Path(image).suffix.lower() not in PICTURE_SUFFIXES:
        text = problem("not_a_picture", f"{source.path}/{image}", f"suffix is none of {', '.join(PICTURE_SUFFIXES)}")
        return record(source, split, subset, image, problem=text)
    fields: dict[str, Any] = expression_fields(label)
    if source.votes:
        counts = votes.get(image) or votes.get(Path(image).name)
        facts = {"ferplus": majority(counts) if counts else None, "label": label}
        fields |= {"votes": counts, "facts": facts_text(facts)}
    return record(source, split, subset, image, **fields)
