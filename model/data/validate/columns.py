"""The table that rules look at: a row a face, a column a question."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.data.manifest import has_label
from model.data.validate.boxes import gives_size, overlaps
from model.data.validate.numbering import numbering_gain
from model.data.validate.pictures import Look
from model.data.validate.shape import shape_distance, turn_of
from model.schema import LANDMARKS, Box, FaceRecord

Floats = NDArray[np.float64]

_COLUMNS = (
    *("row", "record_id", "image", "source", "split", "problem", "picture_error", "pixels", "shorter_side"),
    *("expression", "labelled", "label", "points", "points19", "finite", "outside", "box_error"),
)
# Faces whose shapes are judged together: each takes some kilobytes meanwhile.
_AT_ONCE = 4096


def face_table(records: list[FaceRecord], looks: Mapping[str, Look], *, margin: float) -> pd.DataFrame:
    """Columns computed from records and pictures; a question that does not arise (no points) is null."""
    rows = [_row(index, record, looks.get(record.image, Look()), margin) for index, record in enumerate(records)]
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(
        {"problem": object, "picture_error": object, "box_error": object}
    )
    return table.join(_shapes(records))


def label_of(record: FaceRecord) -> str:
    """The label as the benchmark gives it, which may be none of our seven; empty where there is none."""
    if record.expression is None and record.facts:
        return str(json.loads(record.facts).get("label") or "")
    return record.expression or ""


def _row(index: int, record: FaceRecord, look: Look, margin: float) -> dict[str, object]:
    known = bool(record.width and record.height)
    pairs = pairs_of(record)
    finite = bool(np.isfinite(pairs).all()) if len(pairs) else None
    return {
        "row": index,
        "record_id": record.record_id,
        "image": record.image,
        "source": record.source,
        "split": record.split,
        "problem": record.problem,
        "picture_error": look.error,
        "pixels": record.width * record.height if record.width and record.height else None,
        "shorter_side": min(record.width, record.height) if record.width and record.height else None,
        "expression": record.expression,
        "labelled": has_label(record) or record.problem is not None,
        "label": label_of(record),
        "points": None if record.points is None else len(record.points) // 2,
        "points19": None if record.points19 is None else len(record.points19) // 2,
        "finite": finite,
        "outside": _outside(pairs, record) if known and finite else None,
        "box_error": _box_error(record, pairs, margin) if known and finite is not False else None,
    }


def pairs_of(record: FaceRecord) -> Floats:
    """All points of a face, the 68 before the 19, as (P, 2) pixels; P may be anything where rows are broken."""
    return np.array([*(record.points or ()), *(record.points19 or ())], dtype=np.float64).reshape(-1, 2)


def _outside(pairs: Floats, record: FaceRecord) -> float:
    """How far the outermost point lies beyond the border, in picture sizes."""
    return _beyond((*pairs.min(axis=0).tolist(), *pairs.max(axis=0).tolist()), record)


def _beyond(box: Box, record: FaceRecord) -> float:
    width, height = record.width or 1, record.height or 1
    x0, y0, x1, y1 = box
    return max((-0.5 - x0) / width, (x1 - width + 0.5) / width, (-0.5 - y0) / height, (y1 - height + 0.5) / height, 0.0)


def _box_error(record: FaceRecord, pairs: Floats, margin: float) -> str | None:
    if record.box is None:
        return "none"
    if len(record.box) != 4 or not np.isfinite(record.box).all():
        return f"{record.box} is not four finite numbers"
    x0, y0, x1, y1 = record.box
    if x1 - x0 <= 1 or y1 - y0 <= 1:
        return f"{x1 - x0:.4g} x {y1 - y0:.4g} pixels, left of right and upper of lower must differ by more than 1"
    beyond = _beyond((x0, y0, x1, y1), record)
    if beyond > margin:
        return f"reaches {beyond:.2f} picture sizes beyond the picture"
    if gives_size((x0, y0, x1, y1), pairs[: len(record.points or ()) // 2]):
        return "gives the size of the points where their second corner belongs"
    return None


def _shapes(records: list[FaceRecord]) -> pd.DataFrame:
    """What the shape prior and the box say of rows with 68 finite points; null elsewhere."""
    rows = [i for i, record in enumerate(records) if _complete(record)]
    # At least one portion, for the names and the types of the columns.
    portions = [rows[start : start + _AT_ONCE] for start in range(0, max(len(rows), 1), _AT_ONCE)]
    shapes = pd.concat([_portion([records[row] for row in portion]).set_axis(portion, axis=0) for portion in portions])
    return shapes.reindex(range(len(records)))


def _complete(record: FaceRecord) -> bool:
    return len(record.points or ()) == 2 * LANDMARKS and bool(np.isfinite(pairs_of(record)).all())


def _portion(records: list[FaceRecord]) -> pd.DataFrame:
    points = np.array([record.points for record in records], dtype=np.float64).reshape(len(records), LANDMARKS, 2)
    gain, numbering = numbering_gain(points)
    return pd.DataFrame(
        {
            "shape_distance": shape_distance(points),
            "numbering_gain": gain,
            "numbering": pd.Series(numbering, dtype=object),
            "turn": np.abs(turn_of(points)),
            "box_overlap": overlaps([record.box for record in records], points),
        }
    )
