"""Who is in a picture, from its name: for benchmarks that tell persons in no other way."""

import re
from collections.abc import Iterator
from dataclasses import replace

from model.config.data import Source
from model.data.readers.common import group_of, problem
from model.schema import FaceRecord


def name_persons(source: Source, faces: Iterator[FaceRecord]) -> Iterator[FaceRecord]:
    """The faces with the person that `source.persons` finds in the name of each picture as their group.

    A name that the pattern does not fit makes a row with a problem. A fitting name whose group took no part in the
    match is that of an unknown person: the face keeps the group it has.
    """
    pattern = re.compile(source.persons or "()")
    for face in faces:
        name = face.image.removeprefix(f"{source.path}/")
        match = pattern.search(name)
        if match is None and face.problem is None:
            what = f"`{name}` does not fit the pattern `{pattern.pattern}` of index.sources {source.name}, persons"
            yield replace(face, problem=problem("no_person", face.image, what))
        else:
            yield replace(face, group=group_of(source, match[1])) if match and match[1] is not None else face
