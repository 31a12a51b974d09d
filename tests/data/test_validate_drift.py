"""Drift between data versions: shifted sets are found, chance is not."""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from model.data.validate.accept import accept_version
from model.data.validate.drift import compare, profile_of, reference_of
from model.data.validate.light import light_of
from model.data.validate.pictures import Look
from model.data.validate.traits import traits_of
from model.errors import DataContractError
from model.schema import FaceRecord
from model.storage import read_json
from tests.data.bench import CONFIG, Bench
from tests.data.layouts import encoded, face_points, make_generic, texture, write

Picture = NDArray[np.uint8]

FACES = 400


def records() -> list[FaceRecord]:
    """Faces of 200 persons, half of them old; every second face has points."""
    return [
        FaceRecord(
            record_id=str(number),
            source="made",
            split="test",
            subset="all",
            image=f"{number}.webp",
            group=f"p{number // 2}",
            box=[0.0, 0.0, 63.0, 63.0],
            points=face_points(number).ravel().tolist() if number % 2 else None,
            expression="happy" if number % 3 else "sad",
            facts='{"age": "old"}' if number // 2 % 2 else '{"age": "young"}',
        )
        for number in range(FACES)
    ]


def photograph(seed: int) -> Picture:
    """A texture with the fine grain that blur takes away."""
    grain = np.random.default_rng(seed).normal(0, 8, (64, 64, 1))
    return np.clip(texture(seed) + grain, 0, 255).astype(np.uint8)


def table(change: Callable[[Picture], Picture] = lambda picture: picture) -> pd.DataFrame:
    looks = {}
    for number in range(FACES):
        grey = cv2.cvtColor(change(photograph(number)), cv2.COLOR_RGB2GRAY)
        looks[f"{number}.webp"] = Look(lights={str(number): light_of(grey, [0.0, 0.0, 63.0, 63.0])})
    return traits_of(records(), looks)


def drifted(before: pd.DataFrame, now: pd.DataFrame) -> set[str]:
    compared = compare(CONFIG.drift, reference_of(profile_of(before), "d"), now)
    return set(compared["trait"][compared["drift"] > CONFIG.drift.psi])


@pytest.fixture(scope="module")
def population() -> pd.DataFrame:
    return table()


def darker(picture: Picture) -> Picture:
    return (picture * 0.4).astype(np.uint8)


def blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 3.0))


def test_darker_blurred_and_other_people_are_flagged(population: pd.DataFrame) -> None:
    """T10: each by the trait that was changed; darkening is not taken for blur."""
    assert drifted(population, population) == set()
    assert drifted(population, table(darker)) == {"brightness", "contrast"}
    assert "sharpness" in drifted(population, table(blurred))
    old = population[(population["age"] == "old") | (population.index < 80)]
    assert drifted(population, old) == {"age"}
    assert drifted(population, population[population["expression"] == "happy"]) == {"expression"}


def test_chance_alone_is_flagged_in_at_most_5_of_100_resamples(population: pd.DataFrame) -> None:
    """T10: of the same faces, and of two halves that share no person."""
    rng = np.random.default_rng(0)
    resamples = [population.iloc[rng.integers(0, FACES, FACES)] for _ in range(100)]
    assert sum(bool(drifted(population, resample)) for resample in resamples) <= 5
    persons = population["group"].unique()
    alarms = 0
    for _ in range(100):
        half = population["group"].isin(rng.permutation(persons)[: len(persons) // 2])
        alarms += bool(drifted(population[half], population[~half]))
    assert alarms <= 5


@pytest.mark.parametrize("size", [6.0, math.log2(255), math.log2(223)])
def test_a_value_that_most_faces_share_is_a_bin_of_its_own(size: float) -> None:
    """Wherever the profile's rounding leaves its edge."""
    sizes = pd.DataFrame({"part": "a/train", "group": None, "face_size": [size] * 90 + [size - 1] * 10})
    empty = traits_of([], {})
    before = pd.concat([empty, sizes])
    smaller = before.assign(face_size=[size] * 50 + [size - 1] * 50)
    larger = before.assign(face_size=[size + 1] * 90 + [size - 1] * 10)
    assert drifted(before, before) == set()
    assert drifted(before, smaller) == {"face_size"}
    assert drifted(before, larger) == {"face_size"}


def test_a_version_is_compared_with_the_accepted_one(bench: Bench) -> None:
    """No accepted version is told; drift warns or stops as configured; parts that are new or gone are named."""
    source = make_generic(bench.root, faces=24)
    for number in range(24):
        write(bench.root / f"made/test/{number:03}.webp", encoded(photograph(900 + number), ".webp"))
    bench.index(source)
    before = bench.validate()
    assert before.drift["reference"] is None
    assert before.warnings == []
    accepted = accept_version(CONFIG, report=bench.root / "reports/validation.json", data=bench.root)
    accepted.write_text(accepted.read_text().replace('"made/val"', '"former/val"'))
    for number in range(24):
        write(bench.root / f"made/test/{number:03}.webp", encoded(darker(photograph(900 + number)), ".webp"))
    bench.index(source)
    report = bench.validate()
    assert report.drift["reference"] == before.data_digest
    assert report.drift["new_parts"] == ["made/val"]
    assert {text.split(": PSI")[0] for text in report.warnings} == {
        "drift_brightness: made/test",
        "drift_contrast: made/test",
        "drift: former/val of the accepted version is no longer there",
    }
    stop = CONFIG.drift.model_copy(update={"action": "stop"})
    with pytest.raises(DataContractError, match=r"drift_brightness: made/test: PSI \d.*then.*now; 24 faces, 24 then"):
        bench.validate(drift=stop)
    assert len(bench.valid()) == report.valid
    assert read_json(bench.root / "reports/validation.json")["drift"]["reference"] is not None


def test_a_version_that_failed_validation_is_not_accepted(bench: Bench) -> None:
    source = make_generic(bench.root)
    write(bench.root / "made/train/001.webp", b"")
    bench.index(source)
    with pytest.raises(DataContractError, match="budget"):
        bench.validate()
    with pytest.raises(DataContractError, match=r"validation failed: budget \(1 of 42 rows are bad\)"):
        accept_version(CONFIG, report=bench.root / "reports/validation.json", data=bench.root)
    with pytest.raises(DataContractError, match="run `rmtl validate` first"):
        accept_version(CONFIG, report=bench.root / "reports/absent.json", data=bench.root)
    assert not (bench.root / "accepted.json").exists()
    write(bench.root / "accepted.json", "[]")
    with pytest.raises(DataContractError, match="not the profile of an accepted version"):
        bench.validate()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
