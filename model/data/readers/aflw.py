"""AFLW with the AFLW-19 annotation: `data/flickr/{0,2,3}/imageNNNNN.jpg` and `AFLWinfo_release.mat`.

An entry of `splits` is `train` (the first 20,000 of the permutation `ra`) or `test` (the rest). Subsets: `train`,
`frontal` (test faces with all 19 points visible) and `profile` (the other test faces). The box is the annotated one,
stored there as left, right, top, bottom. The group is the photo, which may show several faces; the official split
cuts through photos.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.config.data import Source
from model.data.readers.common import facts_text, group_of, record, require_file, require_folder, split_parts
from model.errors import DataContractError
from model.schema import LANDMARKS_19, FaceRecord

TRAINING_FACES = 20000
_PICTURES = "data/flickr"
_DAMAGED = (ValueError, TypeError, IndexError, KeyError, NotImplementedError, OSError, zlib.error)


class Annotation(NamedTuple):
    """The table of one release, N faces: boxes are left, right, top, bottom; `order_N` is 0-based."""

    names: list[str]
    boxes_N4: NDArray[np.float64]
    points_NM2: NDArray[np.float64]
    visible_NM: NDArray[np.bool_]
    order_N: NDArray[np.int64]


def read(source: Source, data: Path) -> Iterator[FaceRecord]:
    """One row a face."""
    root = require_folder(data / source.path, source)
    table = load_annotation(require_file([root / "AFLWinfo_release.mat"], source))
    parts = {"train": table.order_N[:TRAINING_FACES], "test": table.order_N[TRAINING_FACES:]}
    for split, part in split_parts(source):
        if part not in parts:
            raise DataContractError(f"index.sources {source.name}: AFLW has the parts train and test, not `{part}`")
        for row in parts[part]:
            yield _face(source, split, part, table, int(row))


def load_annotation(path: Path) -> Annotation:
    """Read `AFLWinfo_release.mat`.

    Raises:
        DataContractError: not a MATLAB file of version 5, a missing variable, or sizes that do not fit.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        table: dict[str, Any] = loadmat(path)
        points = np.asarray(table["data"], dtype=np.float64)
        return _checked(
            Annotation(
                names=[str(np.ravel(cell)[0]) for cell in np.ravel(table["nameList"])],
                boxes_N4=np.asarray(table["bbox"], dtype=np.float64),
                points_NM2=np.stack([points[:, :LANDMARKS_19], points[:, LANDMARKS_19:]], axis=-1),
                visible_NM=np.asarray(table["mask_new"]) == 1,
                order_N=np.ravel(table["ra"]).astype(np.int64) - 1,
            )
        )
    except (*_DAMAGED, MatReadError) as error:
        raise DataContractError(
            f"{path}: not the table of AFLW-19: {error}; need bbox, data, mask_new, nameList and ra, MATLAB version 5"
        ) from error


def _checked(table: Annotation) -> Annotation:
    faces = len(table.names)
    sizes = (table.boxes_N4.shape, table.points_NM2.shape, table.visible_NM.shape)
    if sizes != ((faces, 4), (faces, LANDMARKS_19, 2), (faces, LANDMARKS_19)):
        raise ValueError(f"sizes {sizes} for {faces} names")
    if not np.array_equal(np.sort(table.order_N), np.arange(faces)):
        raise ValueError(f"ra is not a permutation of 1 to {faces}")
    return table


def _face(source: Source, split: str, part: str, table: Annotation, row: int) -> FaceRecord:
    image = f"{_PICTURES}/{table.names[row]}"
    left, right, top, bottom = table.boxes_N4[row].tolist()
    visible = table.visible_NM[row]
    frontal = "frontal" if visible.all() else "profile"
    return record(
        source,
        split,
        frontal if part == "test" else part,
        image,
        record_id=f"{source.name}/{image}#{row + 1}",
        group=group_of(source, table.names[row]),
        box=[left, top, right, bottom],
        points19=table.points_NM2[row].ravel().tolist(),
        points19_mask=visible.tolist(),
        facts=facts_text({"visible": int(visible.sum())}),
    )
