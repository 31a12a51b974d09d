"""Results of runs that never were, with known effects."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.method.faces import Faces, keep_faces
from benchmarks.method.packing import pack_classes, pack_errors
from benchmarks.method.plan import PlannedRun, Study, planned_runs
from benchmarks.method.statistics import subject_means
from model.evaluation import metrics
from model.schema import EXPRESSIONS
from model.storage import write_json


def made_faces(subjects: int, seed: int = 0) -> Faces:
    """Two to four faces a subject, classes in turn."""
    sizes = np.random.default_rng(seed).integers(2, 5, subjects)
    subject_N = np.repeat(np.arange(subjects), sizes)
    label_N = np.arange(len(subject_N)) % len(EXPRESSIONS)
    return Faces(label_N, subject_N, np.ones(len(subject_N), bool), f"made-{subjects}")


def write_results(
    study: Study, folder: Path, faces: Faces, *, skill: Mapping[str, tuple[float, float]], pattern: str = "*"
) -> None:
    """A result for each planned run: mean NME (a fraction) and share of right faces by row, else 0.05 and 0.5."""
    for run in planned_runs(study, pattern):
        keep_faces(faces, folder, run.data)
        write_json(folder / f"{run.key}.json", made_result(run, faces, *skill.get(run.row, (0.05, 0.5))))


def made_result(run: PlannedRun, faces: Faces, nme: float, right: float) -> dict[str, object]:
    """Rows of one seed meet the same luck and the same hard faces."""
    luck = np.random.default_rng([run.seed, len(run.data)])
    errors_N = nme * luck.gamma(8, 1 / 8, len(faces.label_N)) * np.exp(luck.normal(0, 0.01))
    class_N = np.where(
        luck.random(len(errors_N)) < right + luck.normal(0, 0.005), faces.label_N, (faces.label_N + 1) % 7
    )
    final = {
        "nme": 100 * float(errors_N.mean()),
        "macro_f1": 100 * metrics.macro_f1(class_N, faces.label_N),
        **dict.fromkeys(("fr_8", "auc_8", "accuracy", "ece", "ece_calibrated"), 1.0),
    }
    exchanges = "residual" in run.row
    base = final | {"nme": final["nme"] * 1.05, "macro_f1": final["macro_f1"] - 2}
    return {
        "faces_digest": faces.digest,
        "config_digest": run.row,
        "code": {"git": "0" * 40, "dirty": False, "digest": "made"},
        "versions": {"arithmetic": "bf16"},
        "seconds": {"train": 100.0},
        "parameters": 900 + 100 * exchanges,
        "multiply_adds": 30_000_000 + 1_000_000 * exchanges,
        "last_epoch": {"residual/g": 0.1} if exchanges else {},
        "test": {"final": final, "base": base, "permuted": base} if exchanges else {"final": final},
        "nme_by_subject": None
        if run.row == "single-expression"
        else pack_errors(subject_means(errors_N, faces.subject_N)),
        "class_by_face": None if run.row == "single-landmarks" else pack_classes(class_N),
    }
