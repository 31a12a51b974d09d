"""The test faces of a data set as the report needs them: label, subject and whether points are known, in order."""

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
from model.evaluation.answers import Mask, read_truth
from model.schema import NO_LABEL, FaceRecord
from model.storage import digest_bytes, read_json, write_json

_UNKNOWN = 255


class Faces(NamedTuple):
    """Class (`NO_LABEL`: unknown) and subject of N faces, and whose points are known; subjects are numbered from 0 on.

    `digest` stands for the names of the faces and their order.
    """

    label_N: Ints
    subject_N: Ints
    pointed_N: Mask
    digest: str

    @property
    def count_G(self) -> Array:
        """Faces of each subject."""
        return np.bincount(self.subject_N).astype(np.float64)

    @property
    def pointed_G(self) -> Array:
        """Faces of each subject whose points are known."""
        return np.bincount(self.subject_N, weights=self.pointed_N).astype(np.float64)


def faces_of(records: Sequence[FaceRecord]) -> Faces:
    """The faces of test records, each with points, a class, or both.

    Raises:
        DataContractError: a face with neither, or a task of which no face has a label.
    """
    truth = read_truth(records)
    pointed_N = np.array([record.points is not None for record in records], dtype=bool)
    labelled_N = np.asarray(truth.expression_N != NO_LABEL)
    bare = next(
        (item.record_id for item, *known in zip(records, pointed_N, labelled_N, strict=True) if not any(known)), None
    )
    if bare is not None:
        raise DataContractError(f"test split: face {bare} has neither points nor class; the study needs labels")
    if not (pointed_N.any() and labelled_N.any()):
        raise DataContractError("test split: no face with points, or none with a class; the study measures both tasks")
    numbers: dict[str, int] = {}
    subjects = [numbers.setdefault(record.group or record.record_id, len(numbers)) for record in records]
    names = "\n".join(record.record_id for record in records)
    return Faces(
        label_N=truth.expression_N,
        subject_N=np.array(subjects, dtype=np.int64),
        pointed_N=pointed_N,
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
    values = {
        "labels": pack_classes(np.where(faces.label_N == NO_LABEL, _UNKNOWN, faces.label_N)),
        "subjects": pack_numbers(faces.subject_N),
    }
    if not faces.pointed_N.all():
        values["pointed"] = pack_classes(faces.pointed_N.astype(np.uint8))
    write_json(path, {"faces": len(faces.label_N), "digest": faces.digest, **values})


def read_faces(results: Path, name: str) -> Faces:
    """The faces that `keep_faces` wrote."""
    values = read_json(faces_file(results, name))
    label_N = unpack_classes(values["labels"])
    return Faces(
        label_N=np.where(label_N == _UNKNOWN, NO_LABEL, label_N),
        subject_N=unpack_numbers(values["subjects"]),
        pointed_N=unpack_classes(values["pointed"]).astype(bool)
        if "pointed" in values
        else np.ones(len(label_N), bool),
        digest=values["digest"],
    )
