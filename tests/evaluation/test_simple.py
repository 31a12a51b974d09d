"""What the simple model, which a network has to beat, answers."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.data.manifest import write_manifest
from model.evaluation.simple import SimpleAnswers, answer_simply
from model.schema import EXPRESSIONS, FaceRecord
from tests.evaluation.conftest import Bench, face_points

SIDE = 64
BOX = [8.0, 8.0, 55.0, 55.0]
SHIFT = 6.0


def make_faces(data: Path, split: str, *, number: int, seed: int) -> list[FaceRecord]:
    """Noisy faces lit from a side that tells their class, whose points lie towards that side."""
    rng = np.random.default_rng(seed)
    data.mkdir(exist_ok=True)
    records = []
    for row in range(number):
        side = row % 2
        ramp = np.linspace(-60, 60, SIDE) * (1 if side else -1)
        picture = 128 + ramp[None, :, None] + rng.normal(0, 10, (SIDE, SIDE, 3))
        cv2.imwrite(str(data / f"{split}{row}.png"), picture.clip(0, 255).astype(np.uint8))
        points = 8 + 47 * face_points() + [SHIFT if side else -SHIFT, 0]
        records.append(
            FaceRecord(
                record_id=f"{split}{row}",
                source="made",
                split=split,
                subset="",
                image=f"{split}{row}.png",
                width=SIDE,
                height=SIDE,
                box=BOX,
                points=points.ravel().tolist(),
                points_mask=[True] * 68,
                expression=EXPRESSIONS[1 if side else 4],
            )
        )
    return records


@pytest.fixture
def faces(tmp_path: Path) -> tuple[list[FaceRecord], list[FaceRecord]]:
    """Training and test faces."""
    return make_faces(tmp_path, "train", number=60, seed=0), make_faces(tmp_path, "test", number=20, seed=1)


def answer(tmp_path: Path, faces: tuple[list[FaceRecord], list[FaceRecord]], seed: int = 0) -> SimpleAnswers:
    return answer_simply(*faces, data=tmp_path, seed=seed)


def test_what_brightness_tells_is_learnt(faces, tmp_path) -> None:
    answers = answer(tmp_path, faces)
    truth = np.array([np.reshape(face.points, (68, 2)) for face in faces[1]])
    assert np.linalg.norm(answers.landmarks_NK2 - truth, axis=2).max() < SHIFT / 4
    assert [EXPRESSIONS[place] for place in answers.classes_N] == [face.expression for face in faces[1]]


def test_points_that_brightness_does_not_tell_are_the_mean_shape(faces, tmp_path) -> None:
    draw = np.random.default_rng(0)
    shapes = [np.reshape(face.points, (68, 2)) + draw.normal(0, 2, (1, 2)) for face in faces[0]]
    shapes = [shapes[row] for row in draw.permutation(len(shapes))]
    training = [replace(face, points=shape.ravel().tolist()) for face, shape in zip(faces[0], shapes, strict=True)]
    answers = answer(tmp_path, (training, faces[1]))
    apart = np.linalg.norm(answers.landmarks_NK2 - np.mean(shapes, axis=0), axis=2).mean()
    assert apart < SHIFT / 2


def test_each_task_is_taught_by_the_faces_that_have_its_label(faces, tmp_path) -> None:
    training, asked = faces
    bare = [replace(face, points=None, points_mask=None) for face in training]
    unnamed = [replace(face, expression=None) for face in training]
    assert answer(tmp_path, (bare, asked)).landmarks_NK2 is None
    assert answer(tmp_path, (unnamed, asked)).classes_N is None
    mixed = answer(tmp_path, ([*bare[:30], *unnamed[30:]], asked))
    assert mixed.landmarks_NK2 is not None
    assert mixed.classes_N is not None
    assert answer(tmp_path, ([], asked)) == (None, None)


def test_faces_of_one_class_teach_none(faces, tmp_path) -> None:
    """T08."""
    training = [replace(face, expression="happy") for face in faces[0]]
    assert answer(tmp_path, (training, faces[1])).classes_N is None


def test_the_same_seed_gives_the_same_answers(faces, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("model.evaluation.simple._FACES", 20)
    first, again, other = (answer(tmp_path, faces, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.landmarks_NK2, again.landmarks_NK2)
    assert not np.array_equal(first.landmarks_NK2, other.landmarks_NK2)


def test_the_simple_model_stands_beside_the_network_in_the_report(bench: Bench, tmp_path: Path) -> None:
    """T30: fitted on the training faces, measured on the evaluated ones."""
    training = make_faces(bench.data, "train", number=12, seed=0)
    write_manifest(tmp_path / "manifest.parquet", [*training, *bench.records])
    report = replace(bench, manifest=tmp_path / "manifest.parquet").run(tmp_path / "out")
    network = {(row.task, row.metric, row.subset): row for row in report.measures}
    for task, metric, name in (("landmarks", "nme", "nme_interocular"), ("expression", "macro_f1", "macro_f1")):
        simple = network[f"{task}_simple", metric, "all"]
        assert simple.n == network[task, metric, "all"].n
        assert report.summary[f"test/{name}_simple"] == simple.value
    page = (tmp_path / "out/reports/evaluation.html").read_text()
    assert "68 landmarks, by the simple model" in page
