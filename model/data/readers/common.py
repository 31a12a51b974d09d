"""What readers share: folders, pictures, names of expressions, problems."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config.data import Source
from model.data.codec import tight_box
from model.errors import DataContractError
from model.schema import EXPRESSIONS, SPLITS, FaceRecord
from model.storage import leaves_folder

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

ALIASES: dict[str, str] = {
    **{name: name for name in EXPRESSIONS},
    **dict.fromkeys(("neutrality", "calm"), "neutral"),
    **dict.fromkeys(("happiness", "joy", "smile"), "happy"),
    **dict.fromkeys(("sadness",), "sad"),
    **dict.fromkeys(("surprised",), "surprise"),
    **dict.fromkeys(("fearful", "afraid", "scared"), "fear"),
    **dict.fromkeys(("disgusted",), "disgust"),
    **dict.fromkeys(("angry",), "anger"),
    **dict.fromkeys(("contempt", "contemptuous"), "contempt"),
    **dict.fromkeys(("unknown", "none", "uncertain"), "unknown"),
    **dict.fromkeys(("noface", "nf"), "no face"),
}
"""Known spellings; the last three names are labels outside our seven."""


def label_of(name: str) -> str | None:
    """The canonical name of an expression, of `contempt`, `unknown` or `no face`; None where it is not known."""
    return ALIASES.get("".join(letter for letter in name.lower() if letter.isalpha()))


def expression_fields(label: str) -> dict[str, Any]:
    """Columns for a known label; one outside our seven leaves the expression empty and stays readable as a fact."""
    if label in EXPRESSIONS:
        return {"expression": label}
    return {"facts": facts_text({"label": label})}


def facts_text(facts: Mapping[str, Any]) -> str | None:
    """Facts as JSON text with sorted keys; None for no facts."""
    return json.dumps(facts, sort_keys=True, ensure_ascii=False, allow_nan=False) if facts else None


def problem(code: str, file: str, what: str, line: int | None = None) -> str:
    """The text of a `problem` column: `code: file, line, what`."""
    place = file if line is None else f"{file}, line {line}"
    return f"{code}: {place}, {what}"


def record(source: Source, split: str, subset: str, image: str, **fields: Any) -> FaceRecord:
    """A row for a picture below `source.path`, or at an `s3://` address; another place is a problem of the row.

    Its id is `<source>/<image>` unless `record_id` is given.
    """
    if leaves_folder(image):
        what = f"image `{image[:80]}` leaves the folder of the source"
        fields["problem"] = fields.get("problem") or problem("bad_path", source.path, what)
    if not _is_text(image):
        # Such bytes are no text, which a table could not hold: their numbers stand in their place.
        image = image.encode(errors="surrogateescape").decode(errors="backslashreplace")
        what = f"the name `{image[:80]}` is no UTF-8; rename the file"
        fields["problem"] = fields.get("problem") or problem("bad_path", source.path, what)
    identity = fields.pop("record_id", f"{source.name}/{image}")
    identity = identity.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return FaceRecord(
        record_id=identity,
        source=source.name,
        split=split,
        subset=subset,
        image=image if image.startswith("s3://") else str(PurePosixPath(source.path, image)),
        restricted=source.restricted,
        **fields,
    )


def _is_text(name: str) -> bool:
    """Whether a name of a file is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def group_of(source: Source, who: str | int) -> str:
    """The `group` of a person or photo: the same in all sources that have `people` in common."""
    return f"{source.namespace}/{who}"


def split_parts(source: Source) -> Iterator[tuple[str, str]]:
    """Pairs (our split, folder or row of the benchmark)."""
    for split in SPLITS:
        for part in getattr(source.splits, split):
            yield split, part


def require_folder(folder: Path, source: Source) -> Path:
    """`folder` itself.

    Raises:
        DataContractError: it does not exist; the message lists what lies beside it.
    """
    if folder.is_dir():
        return folder
    beside = sorted(item.name for item in folder.parent.iterdir()) if folder.parent.is_dir() else []
    raise DataContractError(
        f"{folder}: no such folder, needed by the source {source.name} (reader {source.reader}); "
        f"{folder.parent} holds: {', '.join(beside[:20]) or 'nothing'}; is the data pulled, is index.sources right?"
    )


def require_file(candidates: list[Path], source: Source) -> Path:
    """The first candidate that is a file.

    Raises:
        DataContractError: none is.
    """
    for path in candidates:
        if path.is_file():
            return path
    names = " or ".join(str(path) for path in candidates)
    raise DataContractError(
        f"{names}: no such file, needed by the source {source.name} (reader {source.reader}); "
        "is the data pulled, is index.sources right?"
    )


def pictures(folder: Path) -> list[Path]:
    """Picture files directly in a folder, by name."""
    return sorted(item for item in visible(folder) if item.suffix.lower() in PICTURE_SUFFIXES and item.is_file())


def visible(folder: Path) -> list[Path]:
    """Entries of a folder by name, without hidden ones and the thumbnails of file managers."""
    return sorted(item for item in folder.iterdir() if not item.name.startswith(".") and item.name != "Thumbs.db")


def read_text(path: Path) -> str:
    """Text without a byte order mark, with plain line ends; bytes that are not UTF-8 become replacement characters."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def cells(line: str) -> list[str]:
    """The cells of a line of CSV; none where it is empty or none can be told.

    One line at a time: a stray quote would take the lines after it for its own cell.
    """
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return [line]


def read_lines(path: Path) -> Iterator[str]:
    """The lines of `read_text` one after another, without their ends, for files too large to hold."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for line in stream:
            yield line.removesuffix("\n")


def box_of(points_K2: NDArray[np.float64]) -> list[float] | None:
    """The tight box; None where a point is missing or not finite."""
    if len(points_K2) == 0 or not np.isfinite(points_K2).all():
        return None
    return list(tight_box(points_K2))
