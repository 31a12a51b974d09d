"""The exact cache: source in the key, bytes checked before they are trusted."""

import shutil
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from components.step import DIGEST
from model import source
from model.errors import ConfigError
from model.storage import digest_tree
from model.weights import WEIGHTS_FILE
from pipelines.cache import ExactCache, code_digests, starting_from, step_of


def key(cache: ExactCache, component: str = "comp-train", **arguments: object) -> str:
    return cache.compute_key(component, "image:1", ["run"], arguments)


def kept(tmp_path: Path) -> tuple[ExactCache, str, Path]:
    cache = ExactCache(tmp_path / "cache", {"train": "a"})
    path = tmp_path / "weights"
    path.mkdir()
    (path / "w").write_text("bytes")
    metadata = {DIGEST: digest_tree(path), "step": "train"}
    artifact = dsl.Model(name="weights", uri=str(path), metadata=metadata)
    cache.put(key(cache), {"weights": artifact})
    return cache, key(cache), path


def test_other_source_is_another_key(tmp_path: Path) -> None:
    """T13."""
    first, second = (ExactCache(tmp_path, {"train": code}) for code in ("a", "b"))
    assert key(first) != key(second)
    assert key(first) == key(first)
    assert key(first, lr=1) != key(first, lr=2)


def test_unchanged_bytes_are_a_hit(tmp_path: Path) -> None:
    cache, name, path = kept(tmp_path)
    assert cache.get(name)["weights"].path == str(path)
    assert list(cache.hits) == ["train"]


@pytest.mark.parametrize("spoil", [lambda path: (path / "w").write_text("Bytes"), shutil.rmtree])
def test_altered_or_deleted_bytes_are_a_miss(tmp_path: Path, spoil) -> None:
    """T14, T15."""
    cache, name, path = kept(tmp_path)
    spoil(path)
    assert cache.get(name) is None
    assert cache.hits == {}


def test_a_step_used_twice_is_the_same_step() -> None:
    assert {step_of(name) for name in ("comp-train", "comp-train-2")} == {"train"}
    assert step_of("comp-search-worker") == "search-worker"


def test_a_line_of_code_changes_the_steps_that_use_it(tmp_path: Path, root: Path, monkeypatch) -> None:
    """T13: the same steps as DVC reruns."""
    copy = tmp_path / "model"
    shutil.copytree(root / "model", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source, "ROOT", tmp_path)
    before = code_digests(root / "dvc.yaml")
    loop = copy / "train/loop.py"
    loop.write_text(loop.read_text() + "\n# one line more\n")
    after = code_digests(root / "dvc.yaml")
    assert {step for step in before if before[step] != after[step]} == {"train", "search-worker"}


def test_another_version_of_the_package_changes_the_archive_alone(root: Path, monkeypatch) -> None:
    """T13: an archive of another minor version is refused where it is opened."""
    before = code_digests(root / "dvc.yaml")
    monkeypatch.setattr("model.__version__", "9.9.9")
    after = code_digests(root / "dvc.yaml")
    assert {step for step in before if before[step] != after[step]} == {"package"}
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    assert "pyproject.toml" in stages["package"]["deps"]


def test_training_counts_the_source_that_its_stage_depends_on(root: Path) -> None:
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    assert sorted(source.TRAINING) == sorted(item for item in stages["train"]["deps"] if item.startswith("model/"))


def test_other_weights_to_start_from_change_the_steps_that_train(tmp_path: Path, root: Path) -> None:
    """T14: at the same path."""
    code = code_digests(root / "dvc.yaml")
    (tmp_path / WEIGHTS_FILE).write_bytes(b"one")
    ones = starting_from(code, str(tmp_path))
    assert starting_from(code, str(tmp_path)) == ones
    (tmp_path / WEIGHTS_FILE).write_bytes(b"two")
    others = starting_from(code, str(tmp_path))
    assert {step for step in code if others[step] != ones[step]} == {"train", "search-worker"}
    assert starting_from(code, "") == code


def test_a_folder_without_stages_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dvc\.yaml"):
        code_digests(tmp_path / "dvc.yaml")
