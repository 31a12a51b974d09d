"""The study over the loss weights: its pick, and that it goes on where it stopped."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from model.config import Config, dump_config, override, parse_config
from model.errors import ServiceError
from model.schema import TrainResult
from model.search import study as module
from model.search.plots import draw_study
from model.search.study import MACRO_F1, NME, open_study, pick, search


def finished(nme: float, f1: float) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(values=[nme, f1])


def test_the_pick_is_the_trial_nearest_to_the_ideal_point() -> None:
    middle = finished(4.2, 49.0)
    assert pick([finished(4.0, 30.0), middle, finished(6.0, 50.0)]) is middle


def test_a_front_of_one_trial_is_its_pick() -> None:
    only = finished(4.0, 30.0)
    assert pick([only]) is only


def test_a_study_goes_on_where_it_stopped(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training is replaced by a formula of the weight that was tried: the study and its storage are real."""
    seen: list[float] = []

    def train(run, *, shards: Path, out: Path) -> TrainResult:
        weight = run.train.loss.expression_weight
        seen.append(weight)
        return TrainResult("", "", "", 0, {NME: 4 + weight / 1000, MACRO_F1: 40 - 1 / weight})

    monkeypatch.setattr(module, "train", train)
    small = parse_config(override(dump_config(config), {"search.study": "resumed"}), origin="test")
    assert search(small.run, small.search, shards=tmp_path, folder=tmp_path, trials=2).finished == 2
    result = search(small.run, small.search, shards=tmp_path, folder=tmp_path, trials=5)
    assert result.finished == len(seen) == 5
    assert set(result.overrides) == {item.name for item in config.search.space}
    study = open_study(small.search, tmp_path, seed=config.seed)
    assert all(path.stat().st_size > 0 for path in draw_study(study, tmp_path / "plots"))


def test_a_database_that_cannot_be_opened_is_named_without_its_password(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T22."""
    monkeypatch.setattr(module, "OPENINGS", 1)
    monkeypatch.setenv("RMTL_SEARCH_STORAGE", f"sqlite:///{tmp_path}/nowhere/canary/study.db")
    with pytest.raises(ServiceError, match="RMTL_SEARCH_STORAGE: ") as caught:
        open_study(config.search, tmp_path, seed=0)
    assert "canary" not in str(caught.value)


def test_workers_that_start_at_once_share_one_study(config: Config, tmp_path: Path) -> None:
    """T22."""
    code = (
        "import sys; from pathlib import Path; from model.config import load_config; "
        "from model.search.study import open_study; "
        "open_study(load_config(Path(sys.argv[1])).search, Path(sys.argv[2]), seed=0)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[2] / "params.yaml"), str(tmp_path)]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], errors
