"""AffectNet, release of 2021: `{train,val}_set/images/N.jpg` and `annotations/N_{exp,val,aro,lnd}.npy`.

An entry of `splits` is a folder below `path`, `train_set` or `val_set`; it is the subset too. Pictures are face crops:
the box is the tight box of the automatic landmarks `lnd`, the whole picture without them. Numbers may be stored as
strings. Contempt, none, uncertain and no face are read, but have no expression.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config.data import Source
from model.data.readers.affectnet_labels import automatic_box, class_name, label_fields
from model.data.readers.common import pictures, problem, record, require_folder, split_parts
from model.errors import DataContractError
from model.schema import FaceRecord

_LABEL = "_exp.npy"


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a picture, by number, then one a label whose picture is missing."""
    root = require_folder(data / source.path, source)
    for split, part in split_parts(source):
        annotations = require_folder(root / part / "annotations", source)
        found = pictures(require_folder(root / part / "images", source))
        if not found:
            raise DataContractError(f"{root / part / 'images'}: holds no picture, needed by the source {source.name}")
        for picture in sorted(found, key=lambda path: (len(path.stem), path.stem)):
            yield _face(source, split, part, picture, annotations)
        yield from _orphans(source, split, part, annotations, {picture.stem for picture in found})


def _face(source: Source, split: str, part: str, picture: Path, annotations: Path) -> FaceRecord:
    image = f"{part}/images/{picture.name}"
    exp = annotations / f"{picture.stem}{_LABEL}"
    name = f"{source.path}/{part}/annotations/{exp.name}"
    try:
        number = _scalar(exp)
    except FileNotFoundError:
        text = problem("missing_label", name, "no such file for the picture")
        return record(source, split, part, image, problem=text)
    except (ValueError, EOFError, OSError) as error:
        return record(source, split, part, image, problem=problem("bad_label", name, f"not one number: {error}"))
    label = class_name(number)
    if label is None:
        text = problem("unknown_expression", name, f"expression `{number[:40]}` is no number from 0 to 10")
        return record(source, split, part, image, problem=text)
    arousal, valence = (_optional(annotations / f"{picture.stem}_{kind}.npy") for kind in ("aro", "val"))
    box = automatic_box(_array(annotations / f"{picture.stem}_lnd.npy"))
    return record(source, split, part, image, box=box, **label_fields(label, arousal, valence))


def _orphans(source: Source, split: str, part: str, annotations: Path, known: set[str]) -> Iterator[FaceRecord]:
    stems = {path.name.removesuffix(_LABEL) for path in annotations.glob(f"[!.]*{_LABEL}")} - known
    for stem in sorted(stems, key=lambda stem: (len(stem), stem)):
        name = f"{part}/annotations/{stem}{_LABEL}"
        text = problem("missing_picture", f"{source.path}/{name}", f"no picture {stem} in {part}/images")
        yield record(source, split, part, name, problem=text)


def _scalar(path: Path) -> str:
    """The one value of a file as text: `3`, from an integer, a string or a byte string."""
    value = np.load(path, allow_pickle=False)
    if value.size != 1:
        raise ValueError(f"{value.size} values")
    item = value.reshape(-1)[0]
    return item.decode() if isinstance(item, bytes) else str(item)


def _optional(path: Path) -> float | None:
    try:
        return float(_scalar(path))
    except (ValueError, EOFError, OSError):
        return None


def _array(path: Path) -> NDArray[np.float64]:
    try:
        return np.ravel(np.load(path, allow_pickle=False)).astype(np.float64)
    except (ValueError, EOFError, OSError):
        return np.empty(0)
