"""Holding out a part of the training data for selection, by person or photo, never by picture."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from model.schema import FaceRecord


def hold_out(records: list[FaceRecord], *, sources: Iterable[str], share: float, seed: int) -> list[FaceRecord]:
    """The records with about `share` of the training groups of `sources` moved to `val`.

    A group is a person or a photo, a lone record where neither is known; groups that share identical bytes move
    together, also by way of other sources. Membership depends on the seed and the group alone, so that added data moves
    nothing else. Only a group of which another source has persons or bytes in its own `train` or `val` goes there
    without a draw.
    """
    cut = set(sources)
    learnt = [record for record in records if record.split in ("train", "val")]
    roots = _components(learnt)
    candidates = [record for record in learnt if record.source in cut and record.split == "train"]
    placed = _placed([record for record in learnt if record.source not in cut], roots)
    held = {
        record.record_id
        for record in candidates
        if placed.get(root := roots[_key(record)], "val" if _draw(root, seed) < share else "train") == "val"
    }
    return [replace(record, split="val") if record.record_id in held else record for record in records]


def _placed(others: Iterable[FaceRecord], roots: Mapping[str, str]) -> dict[str, str]:
    """The split of each group that stands in `train` or `val` of other sources, `val` where it stands in both."""
    known = {(record.split, roots[_key(record)]) for record in others}
    return {root: split for split in ("train", "val") for part, root in known if part == split}


def _key(record: FaceRecord) -> str:
    return record.group or record.record_id


def _draw(group: str, seed: int) -> float:
    """A number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8]) / 2**64


def _components(records: list[FaceRecord]) -> dict[str, str]:
    """The smallest group name of each set of groups that are linked by identical pictures."""
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first: dict[str, str] = {}
    for record in records:
        one, other = find(_key(record)), find(first.setdefault(record.sha256 or record.record_id, _key(record)))
        parent[max(one, other)] = min(one, other)
    return {key: find(key) for key in parent}
