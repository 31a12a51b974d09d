"""Readers: a benchmark in its official layout becomes `FaceRecord`s; one module a layout.

Each module has `read(source, data)` and says in its docstring what the entries of `splits` mean there. A reader looks
at labels and folder names only; `model.data.index` opens the pictures. It raises `DataContractError` where the layout
cannot be understood; one bad record becomes a row whose `problem` says what is wrong with it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from model.config.data import Reader, Source
from model.data.readers import affectnet, affectnet2021, aflw, class_folders, generic, rafdb, w300
from model.data.readers.persons import name_persons
from model.schema import FaceRecord

_READERS: dict[Reader, Callable[[Source, Path], Iterator[FaceRecord]]] = {
    "w300": w300.read,
    "aflw": aflw.read,
    "affectnet": affectnet.read,
    "affectnet2021": affectnet2021.read,
    "rafdb": rafdb.read,
    "class_folders": class_folders.read,
    "generic": generic.read,
}


def read_source(source: Source, data: Path) -> Iterator[FaceRecord]:
    """Every face of one source, in an order that does not depend on the file system.

    Raises:
        DataContractError: a folder, table or class that the layout needs is missing or unknown.
    """
    faces = _READERS[source.reader](source, data)
    return faces if source.persons is None else name_persons(source, faces)
