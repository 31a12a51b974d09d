"""Drift: the test faces darker, blurred, of other persons, and, for false alarms, drawn again by chance."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd

from benchmarks.data_faults.copies import Copy, Label, of_split
from benchmarks.data_faults.doubles import png, scaled
from benchmarks.data_faults.results import Row
from model.config.data import DriftConfig
from model.data.codec import Pixels, decode_image
from model.data.manifest import read_manifest
from model.data.validate import REPORT_FILE, VALID_FILE
from model.data.validate.accept import accept_version
from model.data.validate.drift import compare, profile_of, read_reference, reference_of
from model.data.validate.pictures import look_at
from model.data.validate.traits import GROUP, traits_of
from model.schema import SPLITS

_LEFT = 0.2


def drift_rows(copy: Copy, faces: Sequence[Label], *, draws: int, seed: int) -> list[Row]:
    """Accept the faces as a version, shift its test faces in each way, and count warnings of drift.

    A shift counts as found if the trait that was shifted is told; other traits that move with it are not false.
    """
    copy.judge(faces)
    accept_version(copy.config, report=copy.reports / REPORT_FILE, data=copy.root)
    rows = [_by_chance(copy, draws=draws, seed=seed)]
    for name, trait, shifted in _shifts(copy, faces):
        warnings = copy.judge(shifted).warnings
        told = any(f"drift_{trait}:" in text for text in warnings)
        rows.append(Row("drift", name, "T10", 1, int(told), measured=_measured(copy, trait)))
    return rows


def _shifts(copy: Copy, faces: Sequence[Label]) -> list[tuple[str, str, list[Label]]]:
    test = of_split(faces, "test")
    others = of_split(faces, "train", "val")
    found = [
        (
            "brightness x 0.4",
            "brightness",
            [*others, *_changed(copy, test, "dark", _darker)],
        ),
        ("blurred", "sharpness", [*others, *_changed(copy, test, "blur", _blurred)]),
    ]
    for trait, of in (("expression", _expression), ("age", _age)):
        names = sorted({name for face in test if (name := of(face))})
        if len(names) > 1:
            gone = [position for position, face in enumerate(test) if of(face) == names[0]]
            found.append((f"four of five `{names[0]}` gone", trait, [*others, *_fewer(test, gone)]))
    return found


def _by_chance(copy: Copy, *, draws: int, seed: int) -> Row:
    """False alarms of one half of the persons against the other."""
    table = _traits(copy, "test")
    persons = table[GROUP].fillna(table.index.to_series().astype(str))
    generator = np.random.default_rng(seed)
    alarms = 0
    for _ in range(draws):
        half = persons.isin(generator.permutation(persons.unique())[: persons.nunique() // 2])
        alarms += _drifted(copy.config.drift, table[half], table[~half])
    return Row("drift", f"{draws} draws by chance", "T10", 0, 0, {"drift": alarms} if alarms else {})


def _traits(copy: Copy, *splits: str) -> pd.DataFrame:
    """Traits of the faces that were judged last."""
    records = [record for record in read_manifest(copy.root / VALID_FILE) if record.split in splits]
    return traits_of(records, look_at(records, data=copy.root, max_pixels=copy.config.max_pixels))


def _measured(copy: Copy, trait: str) -> dict[str, float]:
    """What validation compared: the faces that were judged last with the accepted ones."""
    reference = read_reference(copy.root / copy.config.drift.reference)
    assert reference is not None
    compared = compare(copy.config.drift, reference, _traits(copy, *SPLITS))
    row = compared[compared["trait"] == trait].nsmallest(1, "p").iloc[0]
    level = copy.config.drift.alpha / max(len(compared), 1)
    return {"psi": round(float(row["psi"]), 3), "p": float(f"{row['p']:.2g}"), "level": float(f"{level:.2g}")}


def _drifted(config: DriftConfig, before: Any, after: Any) -> bool:
    compared = compare(config, reference_of(profile_of(before), "before"), after)
    return bool((compared["drift"] > config.psi).any())


def _changed(copy: Copy, faces: Sequence[Label], folder: str, change: Callable[[Pixels], Pixels]) -> list[Label]:
    shifted = []
    for number, face in enumerate(faces):
        pixels = decode_image(copy.picture(face), max_pixels=copy.config.max_pixels)
        shifted.append({**face, "image": copy.add(f"{folder}/{number:06}.png", png(change(pixels)))})
    return shifted


def _darker(pixels: Pixels) -> Pixels:
    return scaled(pixels, 0.4)


def _blurred(pixels: Pixels) -> Pixels:
    sigma = max(pixels.shape[:2]) / 50
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def _fewer(faces: Sequence[Label], leaving: Sequence[int]) -> list[Label]:
    """The faces with only a fifth of those that leave."""
    gone = set(leaving[round(_LEFT * len(leaving)) :])
    return [face for position, face in enumerate(faces) if position not in gone]


def _expression(face: Label) -> str | None:
    return None if face["expression"] is None else str(face["expression"])


def _age(face: Label) -> str | None:
    age = (face["facts"] or {}).get("age")
    return None if age is None else str(age)
