"""From the trials of a study to the weights that are taken."""

import optuna
import pytest
import yaml
from optuna.trial import TrialState, create_trial

from model.errors import FaceError
from model.search import MACRO_F1, NME
from model.search.pick import best_so_far, front_of, pick, summarise, write_overlay
from model.search.sampling import space_of

SPACE = {"train.lr": optuna.distributions.FloatDistribution(0.0001, 1.0, log=True)}


def finished(number, nme, f1, state=TrialState.COMPLETE):
    metrics = {name: value for name, value in ((NME, nme), (MACRO_F1, f1)) if value is not None}
    trial = create_trial(
        state=state,
        values=[nme or 0.0, f1 or 0.0] if state == TrialState.COMPLETE else None,
        params={"train.lr": 0.01 + number / 1000},
        distributions=SPACE,
        user_attrs={"metrics": metrics, "seconds": 2.0},
    )
    trial.number = number
    return trial


# The hand-set trial, one that beats it in both, the two ends of the front, and one that nobody wants.
TRIALS = [
    finished(0, 4.5, 40.0),
    finished(1, 4.4, 41.0),
    finished(2, 4.0, 30.0),
    finished(3, 8.0, 60.0),
    finished(4, 9.0, 20.0),
]


@pytest.fixture
def section(config):
    """`search` with another rule."""
    return lambda rule: config.search.model_copy(update={"pick": rule})


def test_the_front_is_what_nobody_beats_in_both(section):
    assert [trial.number for trial in front_of(TRIALS)] == [2, 1, 3]


@pytest.mark.parametrize(("rule", "number"), [("score", 1), ("ideal", 1), ("nme", 2), ("macro_f1", 3), ("improve", 1)])
def test_the_declared_rule_picks(section, rule, number):
    assert pick(TRIALS, section(rule), TRIALS).number == number


def test_the_score_does_not_depend_on_the_other_trials_and_the_ideal_point_does(section):
    extreme = [*TRIALS, finished(5, 80.0, 99.0)]
    assert pick(extreme, section("score"), extreme).number == 1
    assert pick(extreme, section("ideal"), extreme).number == 3


def test_nothing_better_than_the_hand_set_weights_leaves_them(section):
    worse = [TRIALS[0], TRIALS[2], TRIALS[3], TRIALS[4]]
    assert pick(worse, section("improve"), worse).number == 0


def test_nothing_to_improve_on_is_no_choice(section):
    """The trial of params.yaml was given up: that the pick is no worse than it cannot be said."""
    study = optuna.create_study(directions=["minimize", "maximize"], study_name="made")
    study.add_trials([finished(0, 1.0, 1.0, TrialState.FAIL), *TRIALS[1:]])
    with pytest.raises(FaceError, match="nothing to compare with"):
        summarise(study, section("improve"))
    assert summarise(study, section("score")).trial == 1


def test_a_front_of_one_trial_is_its_pick(section):
    assert pick([TRIALS[4]], section("ideal"), TRIALS).number == 4


def test_trials_of_one_task_are_compared_by_it(section):
    trials = [finished(0, 5.0, None), finished(1, 4.0, None)]
    assert [trial.number for trial in front_of(trials)] == [1]
    assert pick(trials, section("score"), trials).number == 1


def test_a_summary_tells_where_the_choice_comes_from(section, tmp_path):
    study = optuna.create_study(directions=["minimize", "maximize"], study_name="made")
    study.add_trials([*TRIALS, finished(5, 1.0, 1.0, TrialState.FAIL)])
    result = summarise(study, section("score"))
    assert (result.finished, result.seconds, result.counts) == (5, 10.0, {"complete": 5, "fail": 1})
    assert [item["trial"] for item in result.front] == [2, 1, 3]
    write_overlay(result, tmp_path / "search.yaml")
    text = (tmp_path / "search.yaml").read_text()
    assert text.startswith("# Study made, trial 1 of 5, rule score.\n")
    assert yaml.safe_load(text) == result.overrides == {"train.lr": 0.011}
    assert best_so_far(study.trials, section("score")) == "best NME 4.40, F1 41.00 (trial 1)"


def test_a_study_without_a_complete_trial_has_no_choice(section):
    study = optuna.create_study(study_name="empty")
    assert best_so_far(study.trials, section("score")) == ""
    with pytest.raises(FaceError, match="study empty: no trial came to its end"):
        summarise(study, section("score"))


def test_the_space_is_log_uniform(config):
    assert all(item.log for item in space_of(config.search).values())
