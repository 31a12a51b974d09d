"""The truth behind the sample's labels, and the table of what the audit finds."""

import numpy as np

from benchmarks.label_noise import SIZES, Trial, table, true_labels
from benchmarks.sample.plan import plan_faces
from model.audit.features import View
from model.config import AuditConfig
from model.schema import EXPRESSIONS, FaceRecord
from tests.data.layouts import face_points

AUDIT = AuditConfig(folds=2, epochs=1, flagged=1.0)


def record(image: str, expression: str, **values: object) -> FaceRecord:
    return FaceRecord(image, "sample", "train", "x", image, expression=expression, **values)  # type: ignore[arg-type]


def test_the_labels_that_the_generator_moved_are_known() -> None:
    jobs = [job for job in plan_faces(SIZES, seed=0) if job.label is not None]
    faces = [record(f"sample/{job.split}.tar!{job.index:06d}.webp", str(job.label)) for job in jobs]
    true = true_labels(faces)
    wrong = [job for job, number in zip(jobs, true, strict=True) if EXPRESSIONS[number] != job.label]
    assert len(wrong) == 140
    assert {job.split for job in wrong} == {"train"}
    assert true_labels([record("other/1.webp", "fear")]).tolist() == [EXPRESSIONS.index("fear")]


def test_the_table_has_the_set_as_it_is_and_the_mean_of_the_plantings() -> None:
    faces = [record(f"faces/{row}.png", EXPRESSIONS[row % 7], group=f"p{row}") for row in range(140)]
    rows = np.array([face_points(row % 7).ravel() + 0.001 * row for row in range(140)], dtype=np.float32)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    trial = Trial(AUDIT, faces, [View("shape", rows, rows)], seed=0)
    report = {"rows": [trial.unchanged(), trial.planted(0.2, 0), trial.planted(0.2, 1)]}
    assert report["rows"][0]["wrong"] == 0
    assert [row["planted"] for row in report["rows"]] == [0, 28, 28]
    assert report["rows"][1]["found"] > 0.9
    lines = table(report).splitlines()
    assert lines[2].startswith("| as they are | 0 | - | - |")
    assert lines[3].startswith("| 28 planted, 2 times | 28 |")
