"""How long a trial trains."""

import pytest


def steps_of(study):
    return study.job.run_of({}).train.steps_per_epoch


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_a_trial_takes_its_fraction_of_the_steps_that_params_yaml_sets(make_study, fraction):
    study = make_study(**{"train.steps_per_epoch": 500, "search.fraction": fraction})
    assert steps_of(study) == fraction * 500


def test_a_trial_takes_its_fraction_of_the_faces_where_no_steps_are_set(make_study):
    study = make_study(**{"train.batch_size": 10, "search.fraction": 0.5})
    assert 10 * steps_of(study) == 0.5 * 2100


def test_a_trial_takes_at_least_one_step_an_epoch(make_study):
    assert steps_of(make_study(**{"train.steps_per_epoch": 2, "search.fraction": 0.01})) == 1


def test_steps_that_the_overrides_name_are_those_of_a_trial(make_study):
    given = {"search.overrides": {"train.steps_per_epoch": 7}, "search.fraction": 0.5}
    assert steps_of(make_study(**given, **{"train.steps_per_epoch": 500})) == 7
