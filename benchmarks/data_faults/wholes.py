"""Faults of a set as a whole: a class or a split that is missing, numbers that are off, too many bad rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.data_faults.copies import Copy, Label, of_split

_BAD = "bad/empty.jpg"


@dataclass(frozen=True)
class WholeFault:
    """A set with a fault, the settings to judge it by, and the rule that is to speak of it.

    An empty `rule` stands for a set that must pass: whatever is said of it is false.
    """

    name: str
    test: str
    rule: str
    faces: list[Label]
    changes: dict[str, Any] = field(default_factory=dict)


def whole_faults(copy: Copy, faces: Sequence[Label]) -> list[WholeFault]:
    """Every kind, planted in `faces`."""
    counts = Counter(face["subset"] for face in faces)
    part, count = max(sorted(counts.items()), key=lambda item: item[1])
    gone = max(position for position, face in enumerate(faces) if face["subset"] == part)
    whole = {"expected": {f"copy/{part}": count}}
    faults = [
        WholeFault("the official number", "T08", "", list(faces), whole),
        WholeFault("one face less than the official number", "T08", "official_count", _without(faces, gone), whole),
        WholeFault("no face to validate on", "T08", "splits_filled", of_split(faces, "train", "test")),
    ]
    share = {"budget": copy.config.budget}
    copy.add(_BAD, b"")
    within = int(copy.config.budget * len(faces))
    faults.append(WholeFault("as many bad rows as the budget allows", "T01", "", _bad(faces, within), share))
    faults.append(WholeFault("one bad row more", "T01", "budget", _bad(faces, within + 1), share))
    missing = _without_class(faces)
    absent = WholeFault("a class missing in one split", "T08", "classes_present", missing)
    return [*faults, absent] if missing else faults


def _without(faces: Sequence[Label], position: int) -> list[Label]:
    return [face for at, face in enumerate(faces) if at != position]


def _bad(faces: Sequence[Label], number: int) -> list[Label]:
    """The set with that many training faces whose file is empty."""
    rows = [position for position, face in enumerate(faces) if face["split"] == "train"][:number]
    return [{**face, "image": _BAD} if position in rows else face for position, face in enumerate(faces)]


def _without_class(faces: Sequence[Label]) -> list[Label]:
    """The set without the rarest class of the test split; empty where it has no classes."""
    counts = Counter(face["expression"] for face in of_split(faces, "test") if face["expression"])
    if not counts:
        return []
    rarest = min(sorted(counts), key=lambda name: counts[name])
    return [face for face in faces if (face["split"], face["expression"]) != ("test", rarest)]
