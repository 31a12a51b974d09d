"""Labelled faces of each part (`source/subset`) beside the number that its benchmark has."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from model.data.manifest import has_label, part_of
from model.schema import FaceRecord

Counts = dict[str, dict[str, Any]]

_CONFIGURED = "validate.expected"


def count_parts(records: Iterable[FaceRecord], about: Mapping[str, Any], configured: Mapping[str, int]) -> Counts:
    """What is there of each part with a known number, in the order of their names.

    `labelled` faces are in the manifest, `excluded` ones left it by `index.exclude`. `expected` is the number that is
    `configured`, else the official one that index wrote into `about`; `publication` says where it is from.
    """
    official = {part: (number["faces"], number["publication"]) for part, number in about.get("official", {}).items()}
    known = official | {part: (faces, _CONFIGURED) for part, faces in configured.items()}
    labelled = Counter(part_of(record) for record in records if has_label(record))
    excluded = about.get("excluded", {})
    return {
        part: {
            "labelled": labelled[part],
            "excluded": excluded.get(part, 0),
            "expected": faces,
            "publication": publication,
        }
        for part, (faces, publication) in sorted(known.items())
    }


def count_table(counts: Counts) -> pd.DataFrame:
    """A row a part: `faces` there in all, and what is `told` of it."""
    rows = [
        {"row": row, "part": part, "faces": count["labelled"] + count["excluded"], "told": _told(count)}
        for row, (part, count) in enumerate(counts.items())
    ]
    return pd.DataFrame(rows, columns=["row", "part", "faces", "told"])


def _told(count: Mapping[str, Any]) -> str:
    excluded = f" and {count['excluded']} that index.exclude leaves out" if count["excluded"] else ""
    return (
        f"{count['labelled']} labelled faces{excluded}, the benchmark has {count['expected']} ({count['publication']})"
    )
