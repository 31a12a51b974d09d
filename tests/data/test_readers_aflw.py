"""AFLW-19: box order, permutation, mask."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from model.config import IndexConfig, ShardConfig
from model.data.faces import read_faces
from model.data.index import build_index
from model.data.manifest import read_manifest, write_manifest
from model.data.readers import aflw, read_source
from model.data.shards import write_shards
from model.errors import DataContractError
from model.evaluation.answers import read_truth
from tests.data.layouts import face_points, make_aflw, write


@pytest.fixture(autouse=True)
def four_training_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aflw, "TRAINING_FACES", 4)


def test_permutation_is_one_based_and_cuts_train_from_test(tmp_path: Path) -> None:
    faces = list(read_source(make_aflw(tmp_path), tmp_path))
    rows = [int(face.record_id.rsplit("#", maxsplit=1)[1]) for face in faces]
    assert rows == [6, 5, 4, 3, 2, 1]
    assert [face.split for face in faces] == ["train"] * 4 + ["test"] * 2


def test_box_is_stored_left_right_top_bottom(tmp_path: Path) -> None:
    face = next(read_source(make_aflw(tmp_path), tmp_path))
    points = face_points(205)[:19]
    assert face.box == pytest.approx([*points.min(axis=0), *points.max(axis=0)])


def test_points_are_all_x_then_all_y(tmp_path: Path) -> None:
    face = next(read_source(make_aflw(tmp_path), tmp_path))
    assert np.allclose(np.reshape(face.points19, (19, 2)), face_points(205)[:19])
    assert face.points is None


def test_hidden_points_are_masked_and_decide_the_subset(tmp_path: Path) -> None:
    faces = list(read_source(make_aflw(tmp_path), tmp_path))
    assert [face.subset for face in faces] == ["train"] * 4 + ["frontal", "profile"]
    assert faces[-1].points19_mask == [True] * 18 + [False]


def test_faces_of_one_photo_share_a_group(tmp_path: Path) -> None:
    faces = list(read_source(make_aflw(tmp_path), tmp_path))
    assert [face.group for face in faces[:2]] == ["aflw/3/image00002.jpg"] * 2


@pytest.mark.parametrize("content", [b"MATLAB 7.3 MAT-file or anything else" * 10, b"", None])
def test_file_that_is_no_table_stops(tmp_path: Path, content: bytes | None) -> None:
    source = make_aflw(tmp_path)
    path = tmp_path / "aflw/AFLWinfo_release.mat"
    if content is None:
        savemat(path, loadmat(path), do_compression=True)
        content = path.read_bytes()[:200] + b"\xff" * 300 + path.read_bytes()[500:]
    write(path, content)
    with pytest.raises(DataContractError, match="not the table of AFLW-19"):
        list(read_source(source, tmp_path))


def test_hidden_points_are_learnt_as_they_are_scored(tmp_path: Path) -> None:
    """The benchmark labels them, and by default scores them."""
    source = make_aflw(tmp_path)
    index = IndexConfig(sources=(source,), holdout=0.0, exclude=())
    build_index(index, data=tmp_path, out=tmp_path, seed=0)
    faces = sorted(read_manifest(tmp_path / "manifest.parquet"), key=lambda face: face.record_id)
    hidden = [replace(face, split="train") for face in faces if not all(face.points19_mask or [])]
    write_manifest(tmp_path / "valid.parquet", hidden)
    config = ShardConfig(faces_per_shard=8, max_side=256, window=2.0)
    write_shards(config, manifest=tmp_path / "valid.parquet", data=tmp_path, out=tmp_path / "shards")
    learnt = read_faces(tmp_path / "shards", "train")
    assert learnt.points19_mask_NM.all()
    assert np.array_equal(learnt.points19_NM2, read_truth(hidden).points19_NM2)
