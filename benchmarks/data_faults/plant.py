"""Planting: so many of each kind in faces that have no other fault, one validation for all of them together."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.data_faults.copies import Copy, Label, Verdict, of_split, record_ids
from benchmarks.data_faults.doubles import GROUP, Double, double_of, doubles
from benchmarks.data_faults.results import Row
from benchmarks.data_faults.rows import RowFault, row_faults
from benchmarks.data_faults.wholes import WholeFault, whole_faults
from model.data.codec import decode_image

Planted = dict[int, tuple[str, tuple[str, ...]]]
"""What was planted at a position: the kind, and the rules that may find it."""


def row_results(copy: Copy, before: Mapping[str, str], *, number: int, seed: int) -> list[Row]:
    """Faults of single faces, `number` of each kind as far as there are faces that can have it."""
    faces, free = list(copy.faces), _shuffled(len(copy.faces), seed)
    planted: Planted = {}
    late: list[tuple[str, bytes]] = []
    for fault in row_faults():
        chosen = [position for position in free if fault.fits(faces[position])][:number]
        free = [position for position in free if position not in set(chosen)]
        for position in chosen:
            faces[position] = _broken(copy, fault, faces[position], late)
            planted[position] = (fault.name, fault.rules)
    verdict = copy.judge(faces, budget=1.0, between=lambda: _overwrite(copy, late))
    tests = {fault.name: fault.test for fault in row_faults()}
    return _rows("structure", tests, record_ids(faces), planted, verdict, before)


def double_results(copy: Copy, before: Mapping[str, str], *, number: int, seed: int) -> list[Row]:
    """Copies of faces of validation and test in training, and persons that stand in both, by kind."""
    held = of_split(copy.faces, "val", "test")
    order = iter([held[position] for position in _shuffled(len(held), seed)])
    faces = list(copy.faces)
    planted: Planted = {}
    for kind in doubles():
        for count, face in zip(range(number), order, strict=False):
            planted[len(faces)] = (kind.name, (kind.rule,))
            faces.append(_double(copy, kind, face, f"doubles/{kind.name}/{count:04}"))
    people = _share_persons(faces, number, seed, set(planted))
    planted |= dict.fromkeys(people, ("the same person", (GROUP,)))
    verdict = copy.judge(faces, budget=1.0)
    goal = {kind.name: kind.test for kind in doubles() if kind.goal} | {"the same person": "T05"}
    beyond = {kind.name: kind.test for kind in doubles() if not kind.goal}
    return [
        *_rows("duplicates", goal, record_ids(faces), planted, verdict, before),
        *_rows("beyond", beyond, record_ids(faces), planted, verdict, before),
    ]


def whole_results(copy: Copy, faces: Sequence[Label]) -> list[Row]:
    """Faults of the set as a whole, each in a validation of its own; whatever else is told then is false."""
    before = copy.judge(faces, budget=1.0)
    return [_whole(copy, fault, before) for fault in whole_faults(copy, faces)]


def _broken(copy: Copy, fault: RowFault, face: Label, late: list[tuple[str, bytes]]) -> Label:
    label = {**face, **fault.label(face)}
    if fault.picture is not None:
        content = fault.picture(copy.picture(face))
        name = f"broken/{fault.name}/{face['image']}"
        label["image"] = copy.add(name, copy.picture(face) if fault.late else content)
        if fault.late:
            late.append((name, content))
    return label


def _overwrite(copy: Copy, late: Sequence[tuple[str, bytes]]) -> None:
    for name, content in late:
        copy.add(name, content)


def _double(copy: Copy, kind: Double, face: Label, name: str) -> Label:
    content = copy.picture(face)
    if kind.listed:
        return {**face, "split": "train", "subject": None}
    if kind.change is not None:
        content = kind.change(decode_image(content, max_pixels=copy.config.max_pixels))
    return double_of(face, copy.add(f"{name}.jpg", content))


def _share_persons(faces: list[Label], number: int, seed: int, taken: set[int]) -> list[int]:
    """Give training faces the person of a face of test; returns their positions."""
    train = [p for p, face in enumerate(faces) if face["split"] == "train" and face["subject"] and p not in taken]
    test = [face["subject"] for face in faces if face["split"] == "test" and face["subject"]]
    chosen = [train[position] for position in _shuffled(len(train), seed)[:number]] if test else []
    for position, subject in zip(chosen, test * number, strict=False):
        faces[position] = {**faces[position], "subject": subject}
    return chosen


def _rows(
    part: str,
    tests: Mapping[str, str],
    ids: Sequence[str],
    planted: Planted,
    verdict: Verdict,
    before: Mapping[str, str],
) -> list[Row]:
    kinds: dict[str, list[int]] = defaultdict(list)
    for position, (name, _) in planted.items():
        kinds[name].append(position)
    mine = {ids[position]: rules for position, (_, rules) in planted.items()}
    stray = Counter(
        rule for name, rule in verdict.flags.items() if rule not in mine.get(name, ()) and before.get(name) != rule
    )
    rows = []
    for name in (name for name in tests if kinds[name]):
        rules = planted[kinds[name][0]][1]
        found = sum(verdict.flags.get(ids[position]) in rules for position in kinds[name])
        rows.append(
            Row(part, name, tests[name], len(kinds[name]), found, {rule: stray[rule] for rule in rules if stray[rule]})
        )
    return rows


def _whole(copy: Copy, fault: WholeFault, before: Verdict) -> Row:
    verdict = copy.judge(fault.faces, **{"budget": 1.0, **fault.changes})
    told = [text for text in (*verdict.warnings, *verdict.stopped.split("\n  ")[1:]) if text not in before.warnings]
    found = [text for text in told if fault.rule and text.startswith(fault.rule)]
    false = {fault.name: len(told) - len(found)} if len(told) > len(found) else {}
    return Row("set", fault.name, fault.test, int(bool(fault.rule)), int(bool(found)), false)


def _shuffled(number: int, seed: int) -> list[int]:
    return [int(position) for position in np.random.default_rng(seed).permutation(number)]
