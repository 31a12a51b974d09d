"""Studies whose training is a formula, and drawn faces for those whose training is real."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.config import Config, dump_config, override, parse_config
from model.search import training
from model.search.places import Places
from model.search.training import Job
from tests.search.formula import Formula, Study
from tests.train.conftest import drawn_shards, on_the_cpu, tiny, tiny_shards

__all__ = ["drawn_shards", "on_the_cpu", "tiny", "tiny_shards"]


@pytest.fixture
def make_study(config: Config, tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Builder of a search in a folder of its own; dotted names override. Workers left over at the end are killed."""
    made: list[Study] = []

    def make(name: str = "one", **values: Any) -> Study:
        shards = tmp_path / "shards"
        shards.mkdir(exist_ok=True)
        index = {"format": 1, "data_digest": "made", "faces": {"train": 2100, "val": 200}}
        (shards / "index.json").write_text(json.dumps(index))
        changed = parse_config(override(dump_config(config), values), origin="test")
        made.append(Study(Job(changed.run, changed.search, shards, Places(tmp_path / name, changed.search.study))))
        return made[-1]

    yield make
    for worker in (worker for study in made for worker in study.workers):
        worker.kill()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dead are noticed after two seconds, and no database of the environment is used."""
    monkeypatch.setenv("RMTL_SEARCH_GRACE_S", "2")
    monkeypatch.delenv("RMTL_SEARCH_STORAGE", raising=False)


@pytest.fixture
def by_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training in this process is the formula."""
    monkeypatch.setattr(training, "train", Formula())
