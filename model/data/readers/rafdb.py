"""RAF-DB, basic expressions: `EmoLabel/list_patition_label.txt` (or `partition`) and `Image/{aligned,original}/`.

An entry of `splits` is `train` or `test`, as the names in the list begin; it is the subset too. Aligned pictures are
face crops and are preferred; the box of an original picture comes from its five annotated points. Gender, race and
age of `Annotation/manual/*_manu_attri.txt` become facts, for slices only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config.data import Source
from model.data.readers.common import facts_text, problem, read_text, record, require_file, require_folder, split_parts
from model.errors import DataContractError
from model.schema import FaceRecord

NAMES = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "anger", "7": "neutral"}
PARTS = ("train", "test")
ATTRIBUTES = {
    "gender": ("male", "female", "unsure"),
    "race": ("caucasian", "african-american", "asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
_LISTS = ("list_patition_label.txt", "list_partition_label.txt")
# Tight box of 68 points around the mean of five (eyes, nose tip, mouth corners), in units of their root mean square
# distance from it: medians over the training faces of 300-W.
_BOX_OF_FIVE = np.array([-1.78, -1.51, 1.77, 2.01])


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a line of the list whose part is asked for, or that cannot be read."""
    root = require_folder(data / source.path, source)
    path = require_file([root / "EmoLabel" / name for name in _LISTS], source)
    aligned = (root / "Image" / "aligned").is_dir()
    if not aligned:
        require_folder(root / "Image" / "original", source)
    splits = {part: split for split, part in split_parts(source)}
    if not splits.keys() <= set(PARTS):
        wrong = ", ".join(sorted(splits.keys() - set(PARTS)))
        raise DataContractError(f"index.sources {source.name}: RAF-DB has the parts train and test, not {wrong}")
    name = f"{source.path}/EmoLabel/{path.name}"
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        file, number_of_class = line.split() if len(line.split()) == 2 else (line.strip(), "")
        part = file.split("_", maxsplit=1)[0]
        if not file or (part in PARTS and part not in splits):
            continue
        stem = Path(file).stem
        image = f"Image/aligned/{stem}_aligned.jpg" if aligned else f"Image/original/{file}"
        fields: dict[str, Any] = {"expression": NAMES.get(number_of_class)}
        if part not in PARTS or fields["expression"] is None:
            what = f"expected a line such as `train_00001.jpg 5` with a class from 1 to 7, found `{line[:40]}`"
            fields = {"problem": problem("bad_label", name, what, number)}
            fields["record_id"] = f"{source.name}/EmoLabel/{path.name}#{number}"
        else:
            fields |= _attributes(data, f"{source.path}/Annotation/manual/{stem}_manu_attri.txt", aligned=aligned)
        yield record(source, splits.get(part, next(iter(splits.values()))), part, image, **fields)


def _attributes(data: Path, name: str, *, aligned: bool) -> dict[str, Any]:
    """Facts, and for an original picture its box; a picture without points cannot be cropped."""
    try:
        numbers = [float(word) for word in read_text(data / name).split()]
    except (OSError, ValueError):
        numbers = []
    points_52 = np.array(numbers[:10]).reshape(-1, 2)
    fields: dict[str, Any] = {"facts": facts_text(_named(numbers[10:13]))}
    if not aligned:
        box = _box_of_five(points_52)
        fields |= {"box": box} if box else {"problem": problem("missing_points", name, "no five points to crop by")}
    return fields


def _named(codes: list[float]) -> dict[str, str]:
    pairs = zip(ATTRIBUTES.items(), codes, strict=False)
    return {name: values[int(code)] for (name, values), code in pairs if code in range(len(values))}


def _box_of_five(points_52: NDArray[np.float64]) -> list[float] | None:
    if len(points_52) != 5 or not np.isfinite(points_52).all():
        return None
    centre = points_52.mean(axis=0)
    spread = float(np.sqrt(((points_52 - centre) ** 2).sum(axis=1).mean()))
    box: list[float] = (np.tile(centre, 2) + spread * _BOX_OF_FIVE).tolist()
    return box
