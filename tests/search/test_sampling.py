"""Draws depend on the seed and on the place among the draws alone."""

import optuna
from optuna.trial import TrialState, create_trial

from model.search.sampling import DrawSampler, draw_at_random, space_of
from model.search.trials import REPEATS, draw_of, given_up, mend, origin


def next_point(study, config, seed=0, hand_set=None):
    study.sampler = DrawSampler(study, config, seed=seed, hand_set=hand_set or {})
    trial = study.ask(space_of(config))
    study.tell(trial, [trial.params["train.loss.expression_weight"], trial.params["train.loss.base_share"]])
    return trial.params


def make_study():
    return optuna.create_study(directions=["minimize", "maximize"])


def test_a_sampler_made_anew_for_each_trial_draws_as_one_that_stays(config):
    one, other = make_study(), make_study()
    one.sampler = DrawSampler(one, config.search, seed=0, hand_set={})
    for _ in range(8):
        trial = one.ask(space_of(config.search))
        one.tell(trial, [trial.params["train.loss.expression_weight"], trial.params["train.loss.base_share"]])
        next_point(other, config.search)
    assert [trial.params for trial in one.trials] == [trial.params for trial in other.trials]


def test_another_seed_draws_other_points(config):
    assert next_point(make_study(), config.search, seed=1) != next_point(make_study(), config.search, seed=2)


def test_random_search_does_not_look_at_values(config):
    section = config.search.model_copy(update={"sampler": "random"})
    study = make_study()
    points = [next_point(study, section) for _ in range(8)]
    low = {item.name: item.low for item in section.space}
    high = {item.name: item.high for item in section.space}
    assert all(low[name] <= value <= high[name] for point in points for name, value in point.items())
    again = make_study()
    again.add_trials([create_trial(values=[1.0, 1.0], params=low, distributions=space_of(section))] * 7)
    assert next_point(again, section) == points[7]


def test_random_points_are_even_over_orders_of_magnitude(config):
    drawn = [draw_at_random(config.search, seed)["train.loss.expression_weight"] for seed in range(400)]
    assert 0.4 < sum(weight < 1 for weight in drawn) / 400 < 0.6


def made(number, state, **attributes):
    trial = create_trial(state=state, values=[1.0] if state == TrialState.COMPLETE else None, user_attrs=attributes)
    trial.number = number
    return trial


def test_repeats_do_not_count_among_the_draws():
    trials = [
        made(0, TrialState.COMPLETE),
        made(1, TrialState.FAIL),
        made(2, TrialState.FAIL, repeats=1),
        made(3, TrialState.COMPLETE, repeats=1),
        made(4, TrialState.COMPLETE),
    ]
    assert [draw_of(trial, trials) for trial in trials] == [0, 1, 1, 1, 2]
    assert [origin(trial) for trial in trials] == [0, 1, 1, 1, 4]


def test_a_failed_trial_is_queued_once_and_given_up_after_three_deaths():
    study = optuna.create_study()
    for repeats in range(3):
        study.tell(study.ask(), state=TrialState.FAIL)
        assert (given_up(study.trials) == []) == (repeats < 2)
        mend(study)
        mend(study)
    assert [trial.user_attrs.get(REPEATS) for trial in study.trials] == [None, 0, 0]
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3
    assert given_up(study.trials) == [study.trials[-1]]


def test_leaving_on_request_is_no_death():
    study = optuna.create_study()
    for _ in range(5):
        trial = study.ask()
        trial.set_user_attr("left", "TerminatedError")
        study.tell(trial, state=TrialState.FAIL)
        mend(study)
    assert given_up(study.trials) == []
    assert study.trials[-1].state == TrialState.WAITING
