"""Pictures, persons and photos that stand in two splits: each pair makes one row of the less protected split leak."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

import numpy as np

from model.data.validate.boxes import overlap
from model.data.validate.duplicates import near_duplicates
from model.data.validate.pictures import Look
from model.schema import SPLITS, FaceRecord

Reasons = list[str | None]

_SAME_FACE = 0.5


def exact_leaks(records: list[FaceRecord]) -> Reasons:
    """Rows whose bytes stand in a more protected split too; another face of the same picture is no copy."""
    keys = [record.sha256 for record in records]
    return _by_key(records, keys, "the same bytes as {other} in {split}", other_face=_other_face)


def group_leaks(records: list[FaceRecord]) -> Reasons:
    """Rows whose person or photo stands in a more protected split too."""
    return _by_key(records, [record.group for record in records], "group {key} is in {split} too: {other}")


def near_leaks(records: list[FaceRecord], looks: Mapping[str, Look], *, bits: int, correlation: float) -> Reasons:
    """Rows that look like a picture of a more protected split, mirrored or not, without being the same bytes."""
    reasons: Reasons = [None] * len(records)
    seen = [(row, print_) for row, record in enumerate(records) if (print_ := looks[record.image].print_) is not None]
    queries = np.array([i for i, (row, _) in enumerate(seen) if records[row].split != SPLITS[0]], dtype=np.int64)
    prints = [print_ for _, print_ in seen]
    for one, other, score, mirrored in near_duplicates(prints, queries, bits=bits, correlation=correlation):
        loser, keeper = sorted((seen[one][0], seen[other][0]), key=lambda row: SPLITS.index(records[row].split))
        lost, kept = records[loser], records[keeper]
        if lost.split != kept.split and lost.sha256 != kept.sha256 and reasons[loser] is None:
            how = "mirrored " if mirrored else ""
            reasons[loser] = f"near duplicate of the {how}{kept.record_id} in {kept.split} (correlation {score:.3f})"
    return reasons


def repeated(records: Iterable[FaceRecord]) -> tuple[int, int]:
    """Pictures that stand twice in one split under two addresses, and those of them with another label."""
    labels: dict[tuple[str, str | None], dict[str, str | None]] = defaultdict(dict)
    for record in records:
        labels[record.split, record.sha256][record.image] = record.expression
    groups = [list(group.values()) for group in labels.values() if len(group) > 1]
    return sum(len(group) - 1 for group in groups), sum(len(set(group)) > 1 for group in groups)


def _by_key(
    records: list[FaceRecord],
    keys: Iterable[Hashable],
    text: str,
    *,
    other_face: Callable[[FaceRecord, FaceRecord], bool] = lambda one, other: False,
) -> Reasons:
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key is not None:
            members[key].append(row)
    reasons: Reasons = [None] * len(records)
    for key, rows in members.items():
        protected = sorted(rows, key=lambda row: (-SPLITS.index(records[row].split), row))
        for row in rows:
            for kept in (records[other] for other in protected):
                if SPLITS.index(kept.split) <= SPLITS.index(records[row].split):
                    break
                if not other_face(records[row], kept):
                    reasons[row] = text.format(key=key, other=kept.record_id, split=kept.split)
                    break
    return reasons


def _other_face(one: FaceRecord, other: FaceRecord) -> bool:
    return one.image == other.image and overlap(one.box, other.box) < _SAME_FACE
