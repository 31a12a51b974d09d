"""AffectNet, original release: `Manually_Annotated_Images/<n>/<hash>.jpg` and CSV tables.

An entry of `splits` is a table below `path`: `training.csv`, `validation.csv`; its stem is the subset. A table may lack
its header. The box is the tight box of the automatic landmarks, else the face box of the table, where sides that are
negative and numbers that are not finite are refused. Contempt, none, uncertain and no face are read, but have no
expression.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config.data import Source
from model.data.readers.affectnet_labels import automatic_box, class_name, label_fields
from model.data.readers.common import cells, problem, read_lines, record, require_file, require_folder, split_parts
from model.errors import DataContractError
from model.schema import FaceRecord

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_FOLDER = "Manually_Annotated_Images"


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a line of the tables."""
    root = require_folder(data / source.path, source)
    require_folder(root / _FOLDER, source)
    for split, part in split_parts(source):
        yield from _table(source, split, part, require_file([root / part], source))


def _table(source: Source, split: str, part: str, path: Path) -> Iterator[FaceRecord]:
    subset, name = Path(part).stem, f"{source.path}/{part}"
    columns: tuple[str, ...] = COLUMNS
    for number, line in enumerate(read_lines(path), start=1):
        row = cells(line)
        if number == 1 and COLUMNS[0] in row:
            columns = _header(row, path)
            continue
        if not row:
            continue
        values = dict(zip(columns, row, strict=False)) if len(row) == len(columns) else {}
        image = f"{_FOLDER}/{values.get(COLUMNS[0], '').strip()}"
        fields = _fields(values, name, number)
        if "problem" in fields:
            fields["record_id"] = f"{source.name}/{part}#{number}"
        yield record(source, split, subset, image, **fields)


def _header(row: list[str], path: Path) -> tuple[str, ...]:
    missing = [name for name in COLUMNS if name not in row]
    if missing:
        raise DataContractError(f"{path}: columns {', '.join(row)}; missing {', '.join(missing)}")
    return tuple(row)


def _fields(row: dict[str, str], file: str, line: int) -> dict[str, Any]:
    """Columns of a record from a line of the table, or its `problem`."""
    if not row or not row[COLUMNS[0]].strip():
        return {"problem": problem("malformed_row", file, f"need {len(COLUMNS)} columns, the path first", line)}
    label = class_name(row["expression"])
    if label is None:
        what = f"expression `{row['expression'][:40]}` is no number from 0 to 10"
        return {"problem": problem("unknown_expression", file, what, line)}
    try:
        x, y, width, height = (float(row[column]) for column in COLUMNS[1:5])
        valence, arousal = float(row["valence"]), float(row["arousal"])
    except ValueError as error:
        return {"problem": problem("malformed_row", file, str(error), line)}
    box = automatic_box(_numbers(row["facial_landmarks"]))
    if box is None and not (np.isfinite([x, y, width, height]).all() and min(width, height) > 0):
        what = f"face of {width:g} x {height:g} pixels at {x:g}, {y:g}, and no landmarks to take a box from"
        return {"problem": problem("bad_box", file, what, line)}
    return {"box": box or [x, y, x + width, y + height], **label_fields(label, arousal, valence)}


def _numbers(text: str) -> NDArray[np.float64]:
    try:
        return np.array([float(part) for part in text.split(";") if part.strip()], dtype=np.float64)
    except ValueError:
        return np.empty(0)
