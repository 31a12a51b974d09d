"""Ways to weigh the losses at equal budget, the ranking of cheap trials, the cost of a search: plans, runs, reports."""

import json
from datetime import datetime, timedelta

import pytest
import yaml
from optuna.trial import FrozenTrial, create_trial

from benchmarks import search_overhead, search_ranking
from benchmarks.weightings.__main__ import main, stages
from benchmarks.weightings.analysis import analyse
from benchmarks.weightings.plan import FULL, PLAN_FILE, TUNE, Ground, Run, load_plan, planned_runs, run_config
from benchmarks.weightings.report import write_report
from benchmarks.weightings.worker import execute
from model.cli.recipe import write_values
from model.config import dump_config
from model.errors import ConfigError, DataContractError
from model.search.places import Places
from model.search.training import Job
from model.search.trials import SECONDS
from model.storage import read_json
from tests.train.conftest import drawn_shards, tiny, tiny_shards

__all__ = ["drawn_shards", "tiny", "tiny_shards"]

SHORT = {
    "train.epochs": 2,
    "search.startup": 2,
    "search.fraction": 1.0,
    "search.overrides": {"train.epochs": 1},
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory, tiny, tiny_shards) -> Ground:
    """A project of drawn faces, and a plan of two methods, two trials and one seed on it."""
    root = tmp_path_factory.mktemp("ground")
    (root / "artifacts").mkdir()
    (root / "artifacts/shards").symlink_to(tiny_shards)
    (root / "artifacts/manifest.valid.parquet").symlink_to(tiny_shards.parent / "manifest.parquet")
    (root / "data").symlink_to(tiny_shards.parent)
    (root / "params.yaml").write_text(yaml.safe_dump(dump_config(tiny(**SHORT))))
    plan = yaml.safe_load(PLAN_FILE.read_text()) | {"trials": 2, "seeds": 1, "split": "val", "overrides": {}}
    plan["methods"] = {name: plan["methods"][name] for name in ("hand-set", "search")}
    (root / "plan.yaml").write_text(yaml.safe_dump(plan))
    return Ground(root / "plan.yaml", root / "params.yaml", root / "runs", root / "results", root)


def test_the_budget_comes_first_and_full_runs_last():
    first, rest, full = stages(load_plan())
    assert [run.key for run in first] == ["hand-set-tune-0"]
    assert {run.row for run in rest} == {
        *("equal", "uncertainty", "dwa", "famo", "random", "search"),
        *("single-landmarks", "single-expression"),
    }
    assert len(full) == 3 * 9
    assert [run.seed for run in full] == sorted(run.seed for run in full)


def test_runs_are_chosen_by_name():
    plan = load_plan()
    assert [run.key for run in planned_runs(plan, FULL, "famo-*")] == [f"famo-full-{seed}" for seed in range(3)]
    assert planned_runs(plan, TUNE, "famo-full-*") == []


def test_each_method_tunes_what_it_has(root):
    plan = load_plan()
    spaces = {
        run.row: [item.name for item in run_config(plan, run, root / "params.yaml").search.space]
        for run in planned_runs(plan, TUNE)
    }
    weights = spaces.pop("search")
    assert spaces.pop("random") == weights
    assert len(weights) > 1
    assert set(map(tuple, spaces.values())) == {("train.lr",)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget_of": "nobody"}, "budget_of: no method nobody"),
        ({"trial": 3}, "trial: Extra inputs"),
    ],
)
def test_a_mistake_in_the_plan_is_told_with_its_name(tmp_path, change, message):
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(PLAN_FILE.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        load_plan(path)


def test_a_method_waits_for_the_budget(ground):
    with pytest.raises(ConfigError, match="the method that sets the budget comes first"):
        execute("search-tune-0", Ground(ground.study, ground.params, ground.data, ground.data, ground.project))


def test_methods_are_tuned_within_the_budget_trained_and_reported(ground, tmp_path):
    single_net = ("single-landmarks-tune-0", "single-landmarks-full-0")
    for key in ("hand-set-tune-0", "search-tune-0", "search-full-0", *single_net):
        execute(key, ground)
    budget, tuned = (read_json(ground.results / f"{name}-tune-0.json") for name in ("hand-set", "search"))
    assert (budget["budget_s"], len(budget["trials"])) == (None, 2)
    assert tuned["budget_s"] == budget["seconds"]
    assert tuned["seconds"] >= tuned["budget_s"] or len(tuned["trials"]) == 6
    assert sum(trial["seconds"] for trial in tuned["trials"][:-1]) < tuned["budget_s"] or len(tuned["trials"]) == 6
    full = read_json(ground.results / "search-full-0.json")
    assert full["overrides"] == tuned["picked"]["overrides"]
    assert full["faces"] == 12
    assert {"nme", "macro_f1"} <= set(full["measured"])
    single = read_json(ground.results / "single-landmarks-tune-0.json")
    assert all(list(trial["values"]) == ["val/nme_interocular"] for trial in single["trials"])
    alone = read_json(ground.results / "single-landmarks-full-0.json")["measured"]
    assert "nme" in alone
    assert "macro_f1" not in alone
    assert not any((ground.data / "runs").iterdir())
    report = write_report(load_plan(ground.study), results=ground.results, out=tmp_path)
    assert report["rows"]["search"]["nme"]["by_seed"] == {"0": round(full["measured"]["nme"], 3)}
    assert "| search | 1 |" in (tmp_path / "weightings.md").read_text()
    assert (tmp_path / "weightings/trials.png").stat().st_size > 1000


def test_what_was_tuned_with_other_settings_is_not_trained(ground, tmp_path):
    execute("hand-set-tune-0", ground)
    params = tmp_path / "params.yaml"
    params.write_text(ground.params.read_text())
    write_values(params, {"train.weight_decay": 0.5})
    with pytest.raises(ConfigError, match="tuned with another plan"):
        execute("hand-set-full-0", Ground(ground.study, params, ground.data, ground.results, ground.project))


def test_what_is_there_is_skipped_and_limits_are_kept(ground, capsys):
    places = [f"--{name}={getattr(ground, name)}" for name in ("params", "data", "project")]
    arguments = [f"--plan={ground.study}", *places, f"--out={ground.results}"]
    before = len(list(ground.results.glob("*.json")))
    assert main(["run", *arguments, "--minutes", "0"]) == 0
    assert f"{8 - before} of 8 runs have no result yet" in capsys.readouterr().out


def test_an_unknown_run_is_a_configuration_error(ground):
    with pytest.raises(ConfigError, match="no run nobody-tune-0"):
        execute("nobody-tune-0", ground)


def test_a_report_without_results_says_what_makes_them(tmp_path):
    with pytest.raises(DataContractError, match=r"benchmarks\.weightings run"):
        write_report(load_plan(), results=tmp_path, out=tmp_path)


def made(method, seed, held_out=None, **measured):
    held = {f"val/{name.replace('nme', 'nme_interocular')}": value for name, value in (held_out or measured).items()}
    told = {"measured": measured, "held_out": held, "seconds": 100.0, "data_digest": "x"}
    return Run(FULL, 1.0, method, seed), {**told, "code": {"git": "0" * 40, "dirty": False}}


def full_runs(*, held_out=None):
    return dict(
        [
            *(made("single-landmarks", seed, nme=4.0 + seed) for seed in range(3)),
            *(made("single-expression", seed, macro_f1=50.0) for seed in range(3)),
            *(made("hand-set", seed, nme=4.5, macro_f1=55.0 + seed) for seed in range(3)),
            *(made("search", seed, held_out, nme=4.0, macro_f1=56.0 + seed) for seed in range(3)),
            made("famo", 0, nme=1.0, macro_f1=99.0),
        ]
    )


def test_a_gain_is_relative_to_the_single_nets_and_compared_by_seed():
    rows = analyse(load_plan(), {}, full_runs())["rows"]
    assert rows["single-landmarks"]["nme"]["mean"] == 5.0
    assert rows["hand-set"]["gain"]["by_seed"]["0"] == pytest.approx(100 * (0.5 / 5 + 5 / 50) / 2)
    assert rows["search"]["better_than_first"] == {"mean": 6.0, "seeds": 3, "interval": [6.0, 6.0]}
    assert "gain" not in rows["single-landmarks"]
    assert rows["search"]["total_s"] == 300.0


def test_the_winner_has_all_seeds_and_wins_on_held_out_faces():
    assert analyse(load_plan(), {}, full_runs())["winner"] == "search"
    worse = {"nme": 9.0, "macro_f1": 20.0}
    assert analyse(load_plan(), {}, full_runs(held_out=worse))["winner"] == "hand-set"


def test_a_longer_list_of_points_begins_with_a_shorter_one(config, tmp_path):
    job = Job(config.run, config.search, tmp_path, Places(tmp_path, "any"))
    few, many = search_ranking.points(job, 3), search_ranking.points(job, 12)
    assert many[:3] == few
    assert few[0]["train.loss.expression_weight"] == config.train.loss.expression_weight
    assert len({point["train.loss.expression_weight"] for point in many}) == 12


def test_points_are_trained_both_ways(ground, tmp_path):
    places = Ground(ground.study, ground.params, tmp_path, tmp_path / "out", ground.project)
    for key in ("point-00-cheap-0", "point-00-full-0"):
        search_ranking.train_point(key, places, 3)
    cheap, full = (read_json(tmp_path / f"out/point-00-{stage}-0.json") for stage in ("cheap", "full"))
    assert cheap["values"] == full["values"]
    assert cheap["nme"] != full["nme"]
    with pytest.raises(ConfigError, match="no run point-03-full-0"):
        search_ranking.train_point("point-03-full-0", places, 3)


def test_ranks_that_agree_lose_nothing():
    cheap = [{"nme": 9 - i, "macro_f1": 20 + i, "score": i / 10, "seconds": 10} for i in range(6)]
    full = [{"nme": 5 - i / 2, "macro_f1": 40 + 2 * i, "score": 1 + i, "seconds": 100} for i in range(6)]
    found = search_ranking.correlate(cheap, full)
    assert [found[metric]["spearman"] for metric in search_ranking.METRICS] == [1.0, 1.0, 1.0]
    assert (found["regret"], found["points"]) == (0.0, 6)
    turned = search_ranking.correlate(cheap[::-1], full)
    assert (turned["score"]["kendall"], turned["regret"]) == (-1.0, 5.0)


@pytest.mark.long
def test_the_cost_of_a_search_is_measured(ground, tiny, tiny_shards, monkeypatch):
    monkeypatch.delenv("RMTL_SEARCH_STORAGE", raising=False)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"):
        monkeypatch.setenv(name, "")
    config = search_overhead.with_threads(tiny(**SHORT), 1, 2, {})
    found = search_overhead.measure(config, tiny_shards, 1)
    assert found["trials"] == 2
    assert found["overhead"] > 0
    assert 0 < found["overhead_with_start"] < 1
    assert found["per_trial_s"] > 0
    json.dumps(found)


def test_overhead_is_the_time_without_training_and_that_of_tracking():
    """Two workers, two trials of ten seconds each, of which nine train; ten seconds of start."""
    trials = [_trial(number, start_s=10.0 * (number // 2), training_s=9.0) for number in range(4)]
    found = search_overhead.summarise(trials, workers=2, wall_s=30.0, tracking_s=2.0)
    assert found["overhead"] == pytest.approx(1 - (36 - 2) / 40)
    assert found["overhead_with_start"] == pytest.approx(1 - 36 / 60)
    assert (found["per_trial_s"], found["tracking_s"], found["trials_a_minute"]) == (1.0, 0.5, 12.0)


def _trial(number: int, *, start_s: float, training_s: float) -> FrozenTrial:
    start = datetime(2026, 1, 1) + timedelta(seconds=start_s)
    trial = create_trial(value=0.0, user_attrs={SECONDS: training_s})
    trial.number, trial.datetime_start, trial.datetime_complete = number, start, start + timedelta(seconds=10)
    return trial
