"""The faces that results are reported on: test splits of a recipe's sources, and of the bundled sample."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from model.config import IndexConfig, Source
from model.config.data import Splits
from model.data.index import MANIFEST_FILE, build_index
from model.data.manifest import read_manifest
from model.errors import DataContractError
from model.schema import FaceRecord

SAMPLE = Source(name="sample", reader="generic", path="sample", restricted=False, splits=Splits(test=("test",)))


class Faces(NamedTuple):
    """Sound test faces of one source, whose pictures lie below `data`."""

    records: list[FaceRecord]
    data: Path


def faces_of_test(source: Source, data: Path, *, every: int = 1) -> Faces:
    """The faces of a source's test split, each n-th of them for `every` n.

    Raises:
        DataContractError: the source is not there, or has no sound test face.
    """
    tests = source.model_copy(update={"splits": Splits(test=source.splits.test)})
    with TemporaryDirectory() as scratch:
        config = IndexConfig(sources=(tests,), holdout=0.0, exclude=())
        build_index(config, data=data, out=Path(scratch), seed=0)
        records = read_manifest(Path(scratch) / MANIFEST_FILE)
    sound = [record for record in records if record.problem is None]
    if not sound:
        raise DataContractError(f"{data / source.path}: no sound test face of {source.name}; check its `splits`")
    return Faces(sound[::every], data)
