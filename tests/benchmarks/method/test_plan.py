"""The plan of the study: typed, ordered, and true to the recipes."""

from pathlib import Path

import pytest
import yaml

from benchmarks.method.plan import (
    STUDY_FILE,
    PlannedRun,
    Study,
    config_digest,
    load_study,
    planned_runs,
    run_config,
)
from model.config import load_config
from model.errors import ConfigError

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study()


def test_seed_0_of_all_confirmatory_rows_comes_first(study):
    block = study.blocks["confirmatory"]
    first = planned_runs(study)[: len(block.data) * len(block.rows)]
    assert {(run.data, run.row, run.seed) for run in first} == {(d, row, 0) for d in block.data for row in block.rows}
    seeds = [run.seed for run in planned_runs(study)]
    assert seeds == sorted(seeds)


@pytest.mark.parametrize("path", sorted(STUDY_FILE.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_plan_fits_the_parameters(path):
    study = load_study(path)
    for run in planned_runs(study, "*-0"):
        run_config(study, run, PARAMS)


def test_each_run_is_planned_once_under_a_name_of_its_own(study):
    runs = planned_runs(study)
    blocks = study.blocks.values()
    assert len({run.key for run in runs}) == len(runs)
    assert len(runs) <= sum(len(b.data) * len(b.fractions) * len(b.rows) * b.seeds for b in blocks)


def test_a_pattern_chooses_runs_by_name(study):
    runs = planned_runs(study, "gap-100-residual-?")
    assert [run.key for run in runs] == [f"gap-100-residual-{seed}" for seed in range(len(runs))]
    assert runs


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
    assert config == load_config(PARAMS, study.overrides | {"seed": 0})


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
