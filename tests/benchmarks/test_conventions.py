"""Conventions fitted to held-out faces of a small benchmark with labels and votes, and kept beside its weights."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.conventions import held_out_targets
from model.config import Config
from model.data.index import MANIFEST_FILE, build_index
from model.data.manifest import read_manifest, write_manifest
from model.errors import ConfigError
from model.weights import load_weights
from tests.benchmarks.conftest import Project
from tests.data.layouts import make_class_folders


def test_conventions_are_kept_and_change_nothing_else(project: Project, config: Config, tmp_path: Path) -> None:
    source = make_class_folders(tmp_path / "data", faces=2)
    index = config.index.model_copy(update={"sources": [source]})
    build_index(index, data=tmp_path / "data", out=tmp_path, seed=0)
    manifest = tmp_path / MANIFEST_FILE
    write_manifest(manifest, [replace(record, split="val") for record in read_manifest(manifest)])
    weights = Path(shutil.copytree(project.weights, tmp_path / "weights"))
    places = ("--weights", str(weights), "--manifest", str(manifest), "--data", str(tmp_path / "data"))
    done = project.run("conventions", *places, "--name", "first=labels", "--name", "crowd=votes")
    assert done.returncode == 0, done.stderr
    assert "first: " in done.stdout and "28 held-out faces" in done.stdout
    (before, old), (after, new) = load_weights(project.weights), load_weights(weights)
    assert {name: item.speaks for name, item in new.conventions.items()} == {"first": "labels", "crowd": "votes"}
    assert new.model_copy(update={"conventions": {}}) == old
    assert all(after[name].equal(item) for name, item in before.items())

    wrong = project.run("conventions", *places, "--name", "first=poems")
    assert wrong.returncode == 2 and "need NAME=labels or NAME=votes" in wrong.stderr


def test_faces_without_votes_cannot_tell_how_voters_speak() -> None:
    with pytest.raises(ConfigError, match="no held-out face has votes"):
        held_out_targets([], "votes")
