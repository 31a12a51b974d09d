"""The plan of the study: typed, ordered, and true to the recipes."""

from pathlib import Path

import pytest
import yaml

from benchmarks.method.plan import (
    PlannedRun,
    Study,
    config_digest,
    load_study,
    planned_runs,
    run_config,
)
from model.errors import ConfigError

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study()


def test_seed_0_of_all_confirmatory_rows_comes_first(study):
    first = planned_runs(study)[: 2 * len(study.blocks["confirmatory"].rows)]
    assert {run.seed for run in first} == {0}
    assert {run.row for run in first} == set(study.blocks["confirmatory"].rows)
    assert {run.data for run in first} == {"gap", "iid"}
    seeds = [run.seed for run in planned_runs(study)]
    assert seeds == sorted(seeds)


def test_each_run_is_planned_once_under_a_name_of_its_own(study):
    runs = planned_runs(study)
    assert len({run.key for run in runs}) == len(runs) == 2 * 6 * 10 + 9 * 5 + 2 * 4 * 5


def test_a_pattern_chooses_runs_by_name(study):
    assert [run.key for run in planned_runs(study, "gap-25-residual-?")] == [f"gap-25-residual-{i}" for i in range(5)]


def test_every_row_has_one_configuration_but_for_the_seed(study):
    digests = {}
    for run in planned_runs(study, "*-[01]"):
        config = run_config(study, run, PARAMS)
        assert config.seed == run.seed
        digests.setdefault(run.row, set()).add(config_digest(config))
    assert all(len(found) == 1 for found in digests.values())
    assert len({digest for found in digests.values() for digest in found}) == len(digests)


def test_the_full_row_is_the_committed_configuration_with_the_overrides_of_the_study(study):
    config = run_config(study, PlannedRun("gap", 1.0, study.full, 0), PARAMS)
    assert config.train.net.residual.kind == "cross"
    assert config.train.association.learn_weight > 0
    assert config.train.net.mirror is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bloks": {}}, "bloks: Extra inputs"),
        ({"full": "nobody"}, "no block has row nobody"),
        ({"data": {"gap": {"iid": False}}}, "no data set iid"),
        ({"smallest_effect": {"nme": 2.0}}, "smallest_effect.macro_f1: Field required"),
    ],
)
def test_a_mistake_in_the_plan_is_told_with_its_name(tmp_path, change, message):
    plan = yaml.safe_load((Path(__file__).parents[3] / "benchmarks/method/study.yaml").read_text())
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(plan | change))
    with pytest.raises(ConfigError, match=message):
        load_study(path)
