"""A study in small: made faces in the layout of the sample benchmark, a short plan, and the places of both."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.method.frozen import freeze
from benchmarks.method.places import Places
from benchmarks.method.plan import STUDY_FILE, load_study
from benchmarks.sample.pack import write_benchmark
from benchmarks.sample.schema import Face
from model.data.codec import tight_box
from model.schema import EXPRESSIONS
from tests.data.layouts import encoded, face_points, texture

ROOT = Path(__file__).parents[3]
_COUNTS = {("train", "landmarks"): 16, ("train", "expressions"): 21, ("val", "both"): 14, ("test", "both"): 14}
_SHORT = {"train.epochs": 1, "train.steps_per_epoch": 2, "train.batch_size": 8, "train.precision": "fp32"}


@pytest.fixture(scope="session")
def short_plan():
    """Plain values of a plan with few rows and short runs."""
    plan = yaml.safe_load(STUDY_FILE.read_text())
    plan["data"] = {"gap": {"iid": False}}
    plan["overrides"] |= _SHORT
    plan["blocks"]["confirmatory"] |= {"data": ["gap"], "seeds": 2}
    del plan["blocks"]["exploratory"]
    plan["blocks"]["scarce"] |= {"fractions": [0.5], "rows": ["hard-sharing", "residual-association"], "seeds": 1}
    return plan


@pytest.fixture(scope="session")
def places(tmp_path_factory, short_plan) -> Places:
    """A drawn and frozen study of which no run is done."""
    root = tmp_path_factory.mktemp("study")
    (root / "study.yaml").write_text(yaml.safe_dump(short_plan, sort_keys=False))
    where = Places(root / "study.yaml", ROOT / "params.yaml", root / "data", root / "results")
    write_benchmark(_faces(), where.data / "gap")
    freeze(load_study(where.study), data=where.data, results=where.results)
    return where


@pytest.fixture(scope="session")
def given(tmp_path_factory, short_plan) -> Places:
    """A frozen study on a set that nobody drew, whose test faces have a label of one task each."""
    root = tmp_path_factory.mktemp("given")
    blocks = {
        "rows": {"data": ["given"], "fractions": [1.0], "rows": ["residual-association", "hard-sharing"], "seeds": 1}
    }
    rows = {"nme": "hard-sharing", "macro_f1": "hard-sharing"}
    plan = short_plan | {"data": {"given": {"iid": None}}, "blocks": blocks, "contrasts": {"hard sharing": rows}}
    del plan["sizes"]
    (root / "study.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    where = Places(root / "study.yaml", ROOT / "params.yaml", root / "data", root / "results")
    write_benchmark([_with_one_label(face, number) for number, face in enumerate(_faces())], where.data / "given")
    freeze(load_study(where.study), data=where.data, results=where.results)
    return where


def _with_one_label(face: Face, number: int) -> Face:
    removed = "points" if number % 2 else "expression"
    return face if face.record["split"] != "test" else replace(face, record=face.record | {removed: None})


def _faces() -> list[Face]:
    faces: list[Face] = []
    for (split, subset), count in _COUNTS.items():
        for number in range(count):
            seed = len(faces)
            side = 48 if subset == "expressions" or (subset == "both" and number % 3 == 0) else 64
            points = face_points(seed, side)
            record = {
                "image": f"{split}.tar!{seed:06d}.webp",
                "split": split,
                "subset": subset,
                "points": None if subset == "expressions" else points.tolist(),
                "expression": None if subset == "landmarks" else EXPRESSIONS[number % len(EXPRESSIONS)],
                "subject": f"{split}-{subset}-{number // 2}",
                "box": None if subset == "expressions" else list(tight_box(points)),
                "facts": {},
            }
            content = encoded(texture(seed, side), ".webp", 95)
            faces.append(Face(f"{seed:06d}.webp", content, json.loads(json.dumps(record))))
    return faces
