"""Suspects of an audit that the generator knows to be wrong."""

from benchmarks.label_noise import SIZES, true_labels
from benchmarks.sample.plan import plan_faces
from benchmarks.sample_corrections import corrections
from model.schema import EXPRESSIONS, FaceRecord


def test_only_suspects_that_are_wrong_are_corrected_and_to_what_was_drawn() -> None:
    jobs = [job for job in plan_faces(SIZES, seed=0) if job.subset == "expressions"]
    records = [_record(f"sample/train.tar!{job.index:06d}.webp", str(job.label)) for job in jobs]
    suspects = {"suspects": [{"row": record.record_id} for record in records[::2]]}
    lines = corrections(suspects, records)
    wrong = [(record.image, job) for record, job in zip(records, jobs, strict=True) if job.label != job.shown]
    expected = [(image, job) for image, job in wrong if image in {record.image for record in records[::2]}]
    assert 0 < len(lines) == len(expected) < len(wrong)
    for line, (image, job) in zip(lines, expected, strict=True):
        assert line == {"image": image.removeprefix("sample/"), "was": job.label, "expression": job.shown}


def test_a_corrected_label_counts_as_right() -> None:
    job = next(job for job in plan_faces(SIZES, seed=0) if job.label not in (None, job.shown))
    corrected = _record(f"sample/train.tar!{job.index:06d}.webp", job.shown)
    assert true_labels([corrected]).tolist() == [EXPRESSIONS.index(job.shown)]
    assert corrections({"suspects": [{"row": corrected.record_id}]}, [corrected]) == []


def _record(image: str, expression: str) -> FaceRecord:
    return FaceRecord(image, "sample", "train", "expressions", image, expression=expression)
