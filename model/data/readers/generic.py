"""Our own layout: `labels.jsonl` with a JSON object a face, pictures relative to it.

Keys: `image` (a path, an `s3://` address, or a member of a pack: `train.tar!000123.webp`), `split`, and, each null or
left out where unknown, `subset`, `points` (68 pairs, 0-based pixels), `points19` (19 pairs) with `points19_mask` (19
booleans: which are visible; hidden ones are labelled too), `expression`, `votes` (counts in the order of
`schema.VOTES`), `subject`, `box` (x0, y0, x1, y1), `facts` (an object), `id` (what the record is called in place of its
picture) and `problem` (why the row cannot be used; its picture is not opened). An entry of `splits` is a value of the
key `split`; other rows are not part of the source. The group is the subject. Expressions that `corrections.jsonl`
corrects count as corrected (see `readers.corrections`).
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from model.config.data import Source
from model.data.readers.common import (
    box_of,
    expression_fields,
    facts_text,
    group_of,
    label_of,
    problem,
    read_lines,
    record,
    require_file,
    split_parts,
)
from model.data.readers.corrections import Face, read_corrections
from model.data.readers.votes import MOST_VOTES
from model.schema import LANDMARKS_19, VOTES, FaceRecord
from model.storage import leaves_folder

LABELS_FILE = "labels.jsonl"


class Label(BaseModel):
    """A line of `labels.jsonl`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str
    split: str
    subset: str | None = None
    points: list[list[float]] | None = None
    points19: list[list[float]] | None = None
    points19_mask: list[bool] | None = None
    expression: str | None = None
    votes: list[int] | None = None
    subject: str | int | None = None
    box: list[float] | None = None
    facts: dict[str, Any] | None = None
    id: str | None = None
    problem: str | None = None


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a line whose split is asked for, or that cannot be read."""
    file = require_file([data / source.path / LABELS_FILE], source)
    splits = {part: split for split, part in split_parts(source)}
    name = f"{source.path}/{LABELS_FILE}"
    corrections = read_corrections(data / source.path)
    seen: Counter[str] = Counter()
    every: Counter[str] = Counter()
    faces: set[Face] = set()
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        label = _parse(line, name, number)
        if isinstance(label, str):
            identity = f"{source.name}/{LABELS_FILE}#{number}"
            yield record(source, next(iter(splits.values())), "", LABELS_FILE, record_id=identity, problem=label)
            continue
        every[label.image] += 1
        faces |= {(label.image, None), (label.image, label.id or _identity(label.image, every[label.image]))}
        if label.split in splits:
            seen[label.image] += 1
            label.id = label.id or _identity(label.image, seen[label.image])
            label.expression = corrections.expression(label.image, label.id, label.expression)
            yield _face(source, splits[label.split], label, f"{name}, line {number}")
    corrections.check_all_met(faces)


def _parse(line: str, name: str, number: int) -> Label | str:
    try:
        label = Label.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "line"
        return problem("bad_label", name, f"{where}: {first['msg']}", number)
    if leaves_folder(label.image):
        return problem("bad_label", name, f"image `{label.image[:80]}` leaves the folder of the labels", number)
    what = _wrong_length(label) or _no_json(label)
    return label if what is None else problem("bad_label", name, what, number)


def _wrong_length(label: Label) -> str | None:
    if any(len(pair) != 2 for pair in [*(label.points or []), *(label.points19 or [])]):
        return "points are not pairs of x and y"
    if label.points19 is not None and (len(label.points19), len(label.points19_mask or [])) != (LANDMARKS_19,) * 2:
        return f"points19 are not {LANDMARKS_19} points, with {LANDMARKS_19} booleans in points19_mask"
    if label.box is not None and len(label.box) != 4:
        return "box is not x0, y0, x1, y1"
    if label.votes is not None and (
        len(label.votes) != len(VOTES) or min(label.votes) < 0 or max(label.votes) > MOST_VOTES
    ):
        return f"votes are not {len(VOTES)} counts"
    return None


def _no_json(label: Label) -> str | None:
    """Python's reader of JSON takes NaN and Infinity, which no manifest holds."""
    try:
        facts_text(label.facts or {})
    except ValueError:
        return "facts hold a number that is not finite"
    return None


def _identity(image: str, occurrence: int) -> str:
    return f"{image}#{occurrence}" if occurrence > 1 else image


def _face(source: Source, split: str, label: Label, place: str) -> FaceRecord:
    fields: dict[str, Any] = {
        "group": None if label.subject is None else group_of(source, label.subject),
        "box": label.box,
        "record_id": f"{source.name}/{label.id}",
        "votes": label.votes,
        "problem": label.problem,
    }
    if label.points is not None:
        points = np.array(label.points, dtype=np.float64).reshape(-1, 2)
        fields |= {"points": points.ravel().tolist(), "points_mask": [True] * len(points)}
        fields["box"] = label.box or box_of(points)
    if label.points19 is not None:
        points19 = [float(value) for pair in label.points19 for value in pair]
        fields |= {"points19": points19, "points19_mask": label.points19_mask}
    facts = dict(label.facts or {})
    if label.expression is not None:
        expression = label_of(label.expression)
        if expression is None:
            what = f"expression `{label.expression[:40]}` is not known"
            fields["problem"] = problem("unknown_expression", place, what)
        else:
            fields |= expression_fields(expression)
            facts |= json.loads(fields.get("facts") or "{}")
    fields["facts"] = facts_text(facts)
    subset = label.split if label.subset is None else label.subset
    return record(source, split, subset, label.image, **fields)
