"""The test faces of a data set as the report needs them: label and subject of each, in the order of the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.method.packing import (
    Array,
    Ints,
    pack_classes,
    pack_numbers,
    unpack_classes,
    unpack_numbers,
)
from model.errors import DataContractError
from model.schema import EXPRESSIONS, FaceRecord
from model.storage import digest_bytes, read_json, write_json


class Faces(NamedTuple):
    """Class and subject of N faces; subjects are numbered from 0 on, each occurs.

    `digest` stands for the names of the faces and their order.
    """

    label_N: Ints
    subject_N: Ints
    digest: str

    @property
    def count_G(self) -> Array:
        """Faces of each subject."""
        return np.bincount(self.subject_N).astype(np.float64)


def faces_of(records: Sequence[FaceRecord]) -> Faces:
    """The faces of test records, which have exact labels.

    Raises:
        DataContractError: a face without points or class.
    """
    bare = next((item for item in records if item.points is None or item.expression not in EXPRESSIONS), None)
    if bare is not None or not records:
        what = "no face" if bare is None else f"face {bare.record_id} without points or class"
        raise DataContractError(f"test split: {what}; the study needs exact labels of both tasks")
    numbers: dict[str, int] = {}
    subjects = [numbers.setdefault(record.group or record.record_id, len(numbers)) for record in records]
    names = "\n".join(record.record_id for record in records)
    return Faces(
        label_N=np.array([EXPRESSIONS.index(record.expression or "") for record in records], dtype=np.int64),
        subject_N=np.array(subjects, dtype=np.int64),
        digest=digest_bytes(names.encode())[:16],
    )


def faces_file(results: Path, name: str) -> Path:
    """Where the faces of a data set lie beside its results."""
    return results / f"{name}-faces.json"


def keep_faces(faces: Faces, results: Path, name: str) -> None:
    """Write the faces unless they are there.

    Raises:
        DataContractError: others are there.
    """
    path = faces_file(results, name)
    if path.exists():
        if read_faces(results, name).digest != faces.digest:
            raise DataContractError(f"{path}: describes other faces than those measured now; restore the data set")
        return
    values = {"labels": pack_classes(faces.label_N), "subjects": pack_numbers(faces.subject_N)}
    write_json(path, {"faces": len(faces.label_N), "digest": faces.digest, **values})


def read_faces(results: Path, name: str) -> Faces:
    """The faces that `keep_faces` wrote."""
    values = read_json(faces_file(results, name))
    return Faces(unpack_classes(values["labels"]), unpack_numbers(values["subjects"]), values["digest"])
