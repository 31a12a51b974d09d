"""Pruning: the leading process decides, every process leaves after the same step."""

import json
import math
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.pruners import HyperbandPruner
from optuna.trial import TrialState

from model.config import dump_config, override, parse_config
from model.errors import ConfigError
from model.search.places import Places
from model.search.pruning import Halving, make_pruner
from model.search.storage import open_storage
from model.search.study import create_study, load_study, search
from model.search.training import Job, Judge, directions_of, values_of
from model.search.trials import METRICS, PRUNED_AT
from model.storage import write_json

# Long enough for a weak machine: nobody may wait for good.
HANG_S = 500
HISTORY = "epoch,val/nme_interocular,val/macro_f1\n1,,\n2,7.5,30\n3,7,31\n"
PRUNED = {
    "search.objective": "nme",
    "search.pruner": "halving",
    "search.pick": "nme",
    "search.trials": 2,
    "search.fraction": 1.0,
    "search.warm_start": False,
    "search.overrides": {"train.epochs": 4},
    # Learning rates that leave no doubt: the second trial learns nothing.
    "search.space": [{"name": "train.lr", "low": 0.000001, "high": 0.01}],
}


def leave_together(tiny, shards, out, repeats):
    """Both processes' numbers of steps."""
    run = tiny(**{"train.epochs": 3, "train.batch_size": 12}).run
    (out / "job.yaml").write_text(yaml.safe_dump(run.model_dump(mode="json")))
    script = Path(__file__).with_name("stopped_team.py")
    command = [sys.executable, str(script), str(out / "job.yaml"), str(shards), str(out), str(repeats)]
    team = [subprocess.Popen([*command, str(rank)], cwd=Path(__file__).parents[2]) for rank in range(2)]
    try:
        assert [process.wait(HANG_S) for process in team] == [0, 0]
    finally:
        for process in team:
            process.kill()
            process.wait()
    return [json.loads((out / f"steps-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.ddp
def test_both_processes_leave_after_the_same_step(tiny, tiny_shards, tmp_path):
    """T29."""
    leader, other = leave_together(tiny, tiny_shards, tmp_path, 4)
    assert leader == other == [2, 4, 6, 2]


@pytest.mark.ddp
@pytest.mark.long
def test_no_process_hangs_in_a_hundred_repeats(tiny, tiny_shards, tmp_path):
    """T29."""
    leader, other = leave_together(tiny, tiny_shards, tmp_path, 100)
    assert leader == other


@pytest.fixture
def pruned_job(tiny, tiny_shards, tmp_path):
    """Builder of a search of two trials in which the second one is hopeless."""

    def make(processes: int) -> Job:
        config = tiny(**PRUNED)
        job = Job(config.run, config.search, tiny_shards, Places(tmp_path, config.search.study), processes)
        study = create_study(job, open_storage(job.places))
        for lr in (0.01, 0.000001):
            study.enqueue_trial({"train.lr": lr})
        return job

    return make


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=[pytest.mark.ddp, pytest.mark.long])])
def test_a_hopeless_trial_is_pruned(processes, pruned_job):
    """T29."""
    job = pruned_job(processes)
    result = search(job.run, job.config, shards=job.shards, folder=job.places.root, processes=processes)
    good, bad = load_study(job.config, job.places.root).trials
    assert (good.state, bad.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert bad.user_attrs[PRUNED_AT] == bad.last_step == 1
    assert set(good.intermediate_values) == {1, 2, 3, 4}
    assert good.value == good.user_attrs[METRICS]["val/nme_interocular"]
    assert result.overrides == {"train.lr": 0.01}
    assert (result.finished, result.counts) == (2, {"complete": 1, "pruned": 1})


def make_judge(config, pruner, root):
    storage = open_storage(Places(root, config.study))
    study = optuna.create_study(storage=storage, pruner=pruner, directions=directions_of(config))
    return Judge(study.ask(), config)


asked_by_hand = pytest.mark.filterwarnings("ignore:Heartbeat of storage")


class _Always(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True


@asked_by_hand
def test_a_trial_pruned_before_its_process_was_killed_trains_no_further(tiny, tmp_path):
    """T22, T29: what the history tells is reported again."""
    judge = make_judge(tiny(**PRUNED).search, _Always(), tmp_path)
    (tmp_path / "history.csv").write_text(HISTORY)
    write_json(tmp_path / "last" / "state.json", {"progress": {"epoch": 3}})
    assert judge.catch_up(tmp_path)
    trial = judge._trial.study.trials[0]
    assert (trial.intermediate_values, trial.user_attrs[PRUNED_AT]) == ({2: 7.5}, 2)


@asked_by_hand
@pytest.mark.parametrize("checkpoint", [None, 1])
def test_an_epoch_that_no_checkpoint_holds_is_trained_before_it_is_judged(checkpoint, tiny, tmp_path):
    """T22, T29: the process was killed between its line in the history and its checkpoint."""
    judge = make_judge(tiny(**PRUNED).search, _Always(), tmp_path)
    (tmp_path / "history.csv").write_text(HISTORY)
    if checkpoint is not None:
        write_json(tmp_path / "last" / "state.json", {"progress": {"epoch": checkpoint}})
    assert not judge.catch_up(tmp_path)
    assert judge._trial.study.trials[0].intermediate_values == {}


@asked_by_hand
def test_a_judge_whose_database_is_away_lets_the_training_go_on(tiny, tmp_path, monkeypatch):
    """T22, T29."""
    judge = make_judge(tiny(**PRUNED).search, _Always(), tmp_path)

    def away(*_arguments, **_named):
        raise optuna.exceptions.StorageInternalError

    monkeypatch.setattr(judge._trial, "report", away)
    assert not judge(0, {"val/nme_interocular": 5.0})


@pytest.mark.parametrize(
    ("objective", "values", "directions"),
    [
        ("pareto", (4.0, 50.0), ["minimize", "maximize"]),
        ("nme", (4.0,), ["minimize"]),
        ("macro_f1", (50.0,), ["maximize"]),
        ("score", (math.log(50 / 4),), ["maximize"]),
    ],
)
def test_a_trial_is_judged_by_held_out_metrics(config, objective, values, directions):
    section = config.search.model_copy(update={"objective": objective})
    assert values_of(section, {"val/nme_interocular": 4.0, "val/macro_f1": 50.0}) == pytest.approx(values)
    assert directions_of(section) == directions


def test_the_pruner_is_a_matter_of_configuration(config):
    kinds = {"halving": Halving, "hyperband": HyperbandPruner}
    for name, kind in kinds.items():
        section = config.search.model_copy(update={"pruner": name, "objective": "score"})
        assert type(make_pruner(section, 8)) is kind


def decisions(pruner, cut_off):
    """Whether each trial is stopped after its first step, where those of `cut_off` are killed there once."""
    study = optuna.create_study(direction="minimize", pruner=pruner)
    stopped = []
    for place, value in enumerate((4.0, 6.0, 5.5, 5.0, 4.5, 5.2, 3.9)):
        if place in cut_off:
            killed = study.ask()
            killed.report(value, 1)
            killed.should_prune()
            study.tell(killed, state=TrialState.FAIL)
        trial = study.ask()
        trial.report(value, 1)
        stopped.append(trial.should_prune())
        study.tell(trial, None if stopped[-1] else value, state=TrialState.PRUNED if stopped[-1] else None)
    return stopped


@pytest.mark.parametrize("cut_off", [(0,), (3,), (1, 2), (0, 1, 2, 3)])
def test_halving_decides_as_if_no_trial_had_been_cut_off(config, cut_off):
    """T22: a trial that was cut off and its repeat count once."""
    section = config.search.model_copy(update={"pruner": "halving", "objective": "nme"})
    straight = decisions(make_pruner(section, 4), ())
    assert set(straight) == {True, False}
    assert decisions(make_pruner(section, 4), cut_off) == straight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search.pruner": "halving"}, "pruner halving needs one objective"),
        ({"search.pick": "improve", "search.warm_start": False}, "warm_start must be on"),
        (
            {"search.space": [{"name": "train.loss.landmark_weight", "low": 0.1, "high": 10}]},
            "only the ratio of weights matters",
        ),
        ({"search.space": [{"name": "train.lr", "low": 0.1, "high": 0.1}]}, "low 0.1 must be below high 0.1"),
        ({"search.overrides": {"train.loss.base_share": 0.5}}, "base_share searched"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(config, change, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(override(dump_config(config), change), origin="test")
