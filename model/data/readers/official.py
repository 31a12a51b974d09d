"""How many labelled faces the benchmarks have, by what `splits` names and by the subset that it becomes.

AffectNet's numbers are those of our seven expressions, in either release. FER2013 is read as class folders, as
anybody's own data is, so a source counts as FER2013 by its name. Each number comes with the publication that has it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from model.config.data import Reader, Source
from model.data.readers.common import split_parts


class Official(NamedTuple):
    """The number of faces of a part, and the publication that has it."""

    faces: int
    publication: str


class _Benchmark(NamedTuple):
    publication: str
    parts: Mapping[str, Mapping[str, int]]


_BENCHMARKS: Mapping[Reader, _Benchmark] = {
    # HELEN's and LFPW's training folders and AFW are the 3148 there, their test folders the 554.
    "w300": _Benchmark(
        "arXiv:1908.07919",
        {
            "afw": {"afw": 337},
            "helen/trainset": {"helen": 2000},
            "helen/testset": {"common": 330},
            "lfpw/trainset": {"lfpw": 811},
            "lfpw/testset": {"common": 224},
            "ibug": {"challenging": 135},
            "300W/01_Indoor": {"indoor": 300},
            "300W/02_Outdoor": {"outdoor": 300},
        },
    ),
    # 1314 of the 4386 test faces are frontal.
    "aflw": _Benchmark("arXiv:1908.07919", {"train": {"train": 20000}, "test": {"frontal": 1314, "profile": 3072}}),
    "affectnet": _Benchmark(
        "arXiv:2408.15777", {"training.csv": {"training": 283901}, "validation.csv": {"validation": 3500}}
    ),
    "affectnet2021": _Benchmark("arXiv:2408.15777", {"train_set": {"train_set": 283901}, "val_set": {"val_set": 3500}}),
    "rafdb": _Benchmark("arXiv:2408.15777", {"train": {"train": 12271}, "test": {"test": 3068}}),
}
_FER2013 = _Benchmark(
    "arXiv:1307.0414",
    {
        "train": {"train": 28709},
        "publictest": {"publictest": 3589},
        "privatetest": {"privatetest": 3589},
    },
)


def official_numbers(sources: Iterable[Source]) -> dict[str, Official]:
    """What the parts that the sources name have in their benchmarks, by `source/subset`; unknown parts are left out."""
    numbers: dict[str, Official] = {}
    for source in sources:
        publication, parts = _benchmark(source)
        for _, named in split_parts(source):
            for subset, faces in parts.get(named, {}).items():
                part = f"{source.name}/{subset}"
                before = numbers[part].faces if part in numbers else 0
                numbers[part] = Official(before + faces, publication)
    return numbers


def _benchmark(source: Source) -> _Benchmark:
    if source.reader == "class_folders" and "fer2013" in source.name:
        return _FER2013
    return _BENCHMARKS.get(source.reader, _Benchmark("", {}))
