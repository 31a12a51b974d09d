"""Weights: bound to their description, and never a pickle."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from model.config import Config
from model.errors import CheckpointError
from model.schema import LANDMARKS
from model.weights import (
    META_FILE,
    WEIGHTS_FILE,
    Meta,
    describe,
    file_digest,
    load_meta,
    load_weights,
    read_tensors,
    save_weights,
)

SHAPE = tuple((0.5, 0.5) for _ in range(LANDMARKS))


def save(folder: Path, config: Config, value: float = 1.0) -> Meta:
    meta = describe(config.run, mean_shape=SHAPE, data_digest="d" * 16, restricted=False)
    return save_weights(folder, {"layer.weight": torch.full((2, 3), value)}, meta)


def test_what_was_saved_is_loaded(tmp_path: Path, config: Config) -> None:
    meta = save(tmp_path, config)
    state, loaded = load_weights(tmp_path)
    assert loaded == meta
    assert torch.equal(state["layer.weight"], torch.ones(2, 3))


def test_the_same_weights_have_the_same_digest(tmp_path: Path, config: Config) -> None:
    assert save(tmp_path / "a", config).weights_digest == save(tmp_path / "b", config).weights_digest


def test_swapped_weights_are_refused(tmp_path: Path, config: Config) -> None:
    """T33."""
    save(tmp_path / "a", config)
    save(tmp_path / "b", config, value=2.0)
    (tmp_path / "b" / WEIGHTS_FILE).rename(tmp_path / "a" / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match="the file was altered or swapped"):
        load_weights(tmp_path / "a")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, config: Config, value: float) -> None:
    """T45."""
    save(tmp_path, config, value)
    with pytest.raises(CheckpointError, match=r"layer\.weight holds NaN or infinity"):
        load_weights(tmp_path)


def test_another_class_order_is_refused(tmp_path: Path, config: Config) -> None:
    save(tmp_path, config)
    meta = json.loads((tmp_path / META_FILE).read_text())
    meta["expressions"][:2] = meta["expressions"][1::-1]
    (tmp_path / META_FILE).write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match=r"classes \('happy', 'neutral'"):
        load_meta(tmp_path)


class Canary:
    """Unpickling an instance creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["weights.pth", "net.pt", "w.ckpt", "w.pkl"])
def test_a_pickle_is_refused_before_any_code_of_it_runs(tmp_path: Path, name: str) -> None:
    """T33."""
    (tmp_path / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(CheckpointError, match="may hold a pickle"):
        load_weights(tmp_path / name)
    assert not (tmp_path / "canary").exists()


def test_a_pickle_under_the_name_of_the_weights_is_refused(tmp_path: Path, config: Config) -> None:
    """T33, with a digest that was made to fit."""
    save(tmp_path, config)
    content = pickle.dumps(Canary(tmp_path / "canary"))
    (tmp_path / WEIGHTS_FILE).write_bytes(content)
    meta = json.loads((tmp_path / META_FILE).read_text())
    from model.storage import digest_bytes

    (tmp_path / META_FILE).write_text(json.dumps({**meta, "weights_digest": digest_bytes(content)}))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_weights(tmp_path)
    assert not (tmp_path / "canary").exists()


def test_a_folder_without_weights_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="give a folder written by `rmtl train`"):
        load_weights(tmp_path)


def test_a_description_from_before_trunks_could_be_chosen_is_read(tmp_path: Path, config: Config) -> None:
    meta = save(tmp_path, config)
    values = json.loads((tmp_path / META_FILE).read_text())
    del values["net"]["trunk"], values["start_digest"]
    (tmp_path / META_FILE).write_text(json.dumps(values))
    assert load_meta(tmp_path) == meta


def test_tensors_are_read_without_a_description_but_not_against_it(tmp_path: Path, config: Config) -> None:
    digest = save(tmp_path, config).weights_digest
    assert read_tensors(tmp_path)[1] == file_digest(tmp_path) == digest
    save(tmp_path / "other", config, value=2.0)
    (tmp_path / "other" / WEIGHTS_FILE).rename(tmp_path / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match="the file was altered or swapped"):
        read_tensors(tmp_path)
    (tmp_path / META_FILE).unlink()
    assert torch.equal(read_tensors(tmp_path)[0]["layer.weight"], torch.full((2, 3), 2.0))


def test_a_foreign_meta_is_refused(tmp_path: Path, config: Config) -> None:
    save(tmp_path, config)
    (tmp_path / META_FILE).write_text('{"format": 2}')
    with pytest.raises(CheckpointError, match="not a description of weights"):
        load_meta(tmp_path)
