"""300-W: pictures with a 1-based `.pts` file of the same stem beside each.

An entry of `splits` is a folder below `path` that holds pictures: `afw`, `helen/trainset`, `lfpw/testset`, `ibug`,
`300W/01_Indoor`. Subsets follow the literature: `common` (both test sets), `challenging` (ibug), `indoor`, `outdoor`,
and the collection's name for training folders. The group is the photo, which may show several faces.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model.config.data import Source
from model.data.readers.common import (
    box_of,
    group_of,
    pictures,
    problem,
    read_text,
    record,
    require_folder,
    split_parts,
)
from model.errors import DataContractError
from model.schema import FaceRecord

_SUBSETS = {
    "lfpw/testset": "common",
    "helen/testset": "common",
    "ibug": "challenging",
    "300W/01_Indoor": "indoor",
    "300W/02_Outdoor": "outdoor",
}
_FACE_OF_PHOTO = re.compile(r"^(?P<photo>.*\d)\s*_\d+$")


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a picture or orphaned `.pts` file."""
    root = require_folder(data / source.path, source)
    for split, part in split_parts(source):
        folder = require_folder(root / part, source)
        found = pictures(folder)
        if not found:
            raise DataContractError(f"{folder}: holds no picture, needed by the source {source.name} (reader w300)")
        subset = _SUBSETS.get(part, part.split("/", maxsplit=1)[0])
        for picture in found:
            yield _face(source, split, subset, f"{part}/{picture.name}", picture.with_suffix(".pts"))
        stems = {picture.stem for picture in found}
        for orphan in sorted(path for path in folder.glob("*.pts") if path.stem not in stems):
            name = f"{part}/{orphan.name}"
            text = problem("missing_picture", f"{source.path}/{name}", "no picture of that stem beside it")
            yield record(source, split, subset, name, problem=text)


def _face(source: Source, split: str, subset: str, image: str, pts: Path) -> FaceRecord:
    name = f"{source.path}/{Path(image).with_suffix('.pts')}"
    group = _photo(source, image)
    try:
        points = parse_pts(read_text(pts), name)
    except FileNotFoundError:
        points = problem("missing_points", name, "no such file beside the picture")
    except OSError as error:
        points = problem("unreadable_points", name, f"cannot be read: {error.strerror or error}")
    if isinstance(points, str):
        return record(source, split, subset, image, group=group, problem=points)
    box = box_of(np.array(points).reshape(-1, 2))
    mask = [True] * (len(points) // 2)
    return record(source, split, subset, image, group=group, box=box, points=points, points_mask=mask)


def parse_pts(text: str, name: str) -> list[float] | str:
    """Points of a `.pts` file, shifted from 1-based to 0-based pixels, or the text of the problem.

    Their number is not judged here. A copy without the header lines is refused: such copies are 0-based as a rule,
    but nothing in them says so.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    body = [content for _, content in lines]
    if "{" not in body or not body[0].startswith("version"):
        return problem("pts_without_header", name, "neither 0-based nor 1-based is certain; restore the header", 1)
    opening = body.index("{")
    closing = body.index("}") if "}" in body else len(body)
    points: list[float] = []
    for number, content in lines[opening + 1 : closing]:
        try:
            x, y = (float(part) for part in content.split())
        except ValueError:
            return problem("bad_point", name, f"expected `x y` with decimal points, found `{content[:40]}`", number)
        points += [x - 1, y - 1]
    if closing == len(body):
        return problem("truncated_points", name, f"no closing brace after {len(points) // 2} points", lines[-1][0])
    return points


def _photo(source: Source, image: str) -> str:
    """Faces of one photo end in `_1`, `_2`; only numbers that stand alone are unique beyond their folder."""
    path = Path(image)
    match = _FACE_OF_PHOTO.match(path.stem)
    photo = match["photo"] if match else path.stem
    scope = path.parts[0] if photo.isdigit() else str(path.parent)
    return group_of(source, f"{scope}/{photo}")
