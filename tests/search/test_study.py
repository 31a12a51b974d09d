"""The study over the loss weights: it goes on where it stopped, with any number of workers, whatever is killed."""

import json
import sqlite3
import time
from collections import Counter

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from model.data.faces import INDEX_FILE
from model.errors import ConfigError, ServiceError
from model.search import storage as storage_module
from model.search import training
from model.search.places import Places
from model.search.storage import open_storage
from model.search.study import CODE, create_study, study_digest
from model.search.trials import DOUBLE, ERROR, PLACE, REPEATS, given_up, mend, origin
from model.storage import read_json
from model.train.failure import LostPeerError
from model.weights import WEIGHTS_FILE
from tests.search.formula import Formula


def states(trials):
    return Counter(trial.state.name for trial in trials)


@pytest.fixture
def uninterrupted(make_study, by_formula):
    """Points of a study of eight trials by one worker that nothing happened to."""
    study = make_study("straight")
    study.run(8)
    return study.points()


def test_the_first_trial_is_params_yaml_itself(make_study, by_formula, config):
    study = make_study()
    study.run(2)
    first = study.points()[0]
    assert first["train.loss.expression_weight"] == config.train.loss.expression_weight
    assert set(first) == {item.name for item in config.search.space}


def test_a_study_goes_on_where_it_stopped(make_study, by_formula, uninterrupted):
    study = make_study()
    assert study.run(3).finished == 3
    assert study.run(8).finished == 8
    assert study.points() == uninterrupted
    assert study.run(5).finished == 8


def test_a_worker_killed_again_and_again_ends_where_an_uninterrupted_one_ends(make_study, uninterrupted):
    """T22: no finished trial is lost, the dead one is failed and tried again at once."""
    study = make_study(**{"search.trials": 8})
    for trainings in (1, 3, 4, 8):
        worker = study.start(seconds=0.3)
        study.wait_for(trainings)
        time.sleep(0.1)
        worker.kill()
    study.start().end()
    assert study.points() == uninterrupted
    assert states(study.trials) == {"COMPLETE": 8, "FAIL": 4}
    assert len(study.journal.read_text().split()) == 12


def test_a_survivor_takes_up_the_trial_of_a_killed_worker(make_study):
    """T22."""
    study = make_study(**{"search.trials": 6})
    victim = study.start(seconds=60)
    study.wait_for(1)
    survivor = study.start()
    time.sleep(0.5)
    victim.kill()
    killed = time.monotonic()
    survivor.end()
    assert time.monotonic() - killed < 30
    assert states(study.trials) == {"COMPLETE": 6, "FAIL": 1}
    assert len({origin(trial) for trial in study.trials}) == 6


def test_four_workers_share_a_study_and_draw_each_point_once(make_study):
    """T22: they start at once, and lock each other's database all the time."""
    study = make_study(**{"search.trials": 16})
    workers = [study.start() for _ in range(4)]
    for worker in workers:
        worker.end()
    assert states(study.trials) == {"COMPLETE": 16}
    assert len({point["train.loss.expression_weight"] for point in study.points()}) == 16


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_trial_on_a_silent_machine_is_taken_up_after_the_grace(make_study, by_formula):
    """T22: no lock tells of it here."""
    study = make_study(**{"search.trials": 3})
    storage = open_storage(study.job.places)
    far = create_study(study.job, storage).ask()
    storage.record_heartbeat(far._trial_id)
    far.set_user_attr(PLACE, "elsewhere:/tmp")
    began = time.monotonic()
    assert study.run().finished == 3
    assert 2 <= time.monotonic() - began < 30
    (repeat,) = [trial for trial in study.trials if REPEATS in trial.user_attrs]
    assert repeat.user_attrs[REPEATS] == far.number
    assert states(study.trials) == {"COMPLETE": 3, "FAIL": 1}


def test_a_database_locked_for_longer_than_its_patience_loses_nothing(make_study, uninterrupted):
    """T22: and the study ends where one ends that nothing happened to."""
    study = make_study(**{"search.trials": 8})
    worker = study.start(seconds=0.5)
    study.wait_for(2)
    with sqlite3.connect(study.job.places.database) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(4)
    connection.close()
    assert "database is away" in worker.end()
    assert states(study.trials)["COMPLETE"] == 8
    assert study.points() == uninterrupted


@pytest.mark.parametrize("moment", ["while it trains", "before it is told"])
def test_a_trial_failed_elsewhere_while_it_runs_is_done_once_more(make_study, monkeypatch, moment):
    """T22: the other machine had seen no sign of life for too long."""
    study = make_study(**{"search.trials": 3})
    directions = training.values_of

    def fail_first():
        if not any(trial.state.is_finished() for trial in study.trials):
            study.study.tell(0, state=TrialState.FAIL)

    class Overtaken(Formula):
        def __call__(self, *arguments, **named):
            if moment == "while it trains":
                fail_first()
            return super().__call__(*arguments, **named)

    def told(*arguments):
        if moment == "before it is told":
            fail_first()
        return directions(*arguments)

    monkeypatch.setattr(training, "train", Overtaken())
    monkeypatch.setattr(training, "values_of", told)
    assert study.run().finished == 3
    assert states(study.trials) == {"COMPLETE": 3, "FAIL": 1}
    assert [origin(trial) for trial in study.trials] == [0, 0, 2, 3]


def test_a_death_that_two_machines_saw_is_repeated_once(make_study, by_formula):
    """T22: each of them had queued the trial before it saw what the other did."""
    study = make_study(**{"search.trials": 3})
    study.run(1)
    study.study.tell(study.study.ask(), state=TrialState.FAIL)
    mend(study.study)
    study.study.add_trial(study.trials[-1])
    study.run(3)
    trials = study.trials
    assert [(origin(trial), trial.state.name) for trial in trials] == [
        *((0, "COMPLETE"), (1, "FAIL"), (1, "COMPLETE"), (1, "FAIL"), (4, "COMPLETE"))
    ]
    assert DOUBLE in trials[3].user_attrs
    assert given_up(trials) == []


def test_a_trial_that_kills_its_process_is_given_up(make_study):
    study = make_study(**{"search.trials": 2})
    for trainings in (1, 2, 3):
        worker = study.start(seconds=60)
        study.wait_for(trainings)
        worker.kill()
    study.start().end()
    assert [origin(trial) for trial in given_up(study.trials)] == [0]
    assert sorted(origin(trial) for trial in study.trials if trial.state == TrialState.COMPLETE) == [3, 4]


def test_a_trial_whose_team_dies_is_tried_again_and_then_given_up(make_study, monkeypatch):
    """T22, T25: each repeat finds the checkpoint of the one before; other trials go on."""
    study = make_study(**{"search.trials": 2})
    found = []

    class Deadly(Formula):
        def __call__(self, run, *, shards, out, stop):
            if out.name != "0000":
                return super().__call__(run, shards=shards, out=out, stop=stop)
            found.append((out / "last").exists())
            (out / "last").mkdir(parents=True, exist_ok=True)
            raise LostPeerError("process 0 of 2: another process has left")

    monkeypatch.setattr(training, "train", Deadly())
    assert study.run().finished == 2
    assert found == [False, True, True]
    assert [origin(trial) for trial in given_up(study.trials)] == [0]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_double_leaves_the_checkpoint_of_the_trial_that_was_cut_off_before_it(make_study, monkeypatch):
    """T22: the database went away for a while, and a machine that takes the trial up again needs the checkpoint."""
    study = make_study(**{"search.trials": 2})
    found = []

    class CutOff(Formula):
        def __call__(self, run, *, shards, out, stop):
            if out.name != "0000":
                return super().__call__(run, shards=shards, out=out, stop=stop)
            found.append((out / "last").exists())
            if found == [False]:
                (out / "last").mkdir(parents=True)
                repeat_elsewhere(study)
                raise StorageInternalError("away")
            return super().__call__(run, shards=shards, out=out, stop=stop)

    monkeypatch.setattr(training, "train", CutOff())
    assert study.run().finished == 2
    assert DOUBLE in study.trials[2].user_attrs
    assert found == [False, True]


def repeat_elsewhere(study):
    """Fail the first trial, which two machines see; one repeat runs on one of them until it dies, the other waits."""
    stored = study.study
    stored.tell(0, state=TrialState.FAIL)
    mend(stored)
    stored.add_trial(study.trials[-1])
    far = stored.ask()
    open_storage(study.job.places).record_heartbeat(far._trial_id)
    far.set_user_attr(PLACE, "elsewhere:/tmp")


def test_a_trial_that_does_not_stay_finite_is_not_tried_again(make_study):
    study = make_study(**{"search.trials": 5})
    study.start(never_above=10).end()
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed == given_up(study.trials) != []
    assert {trial.user_attrs[ERROR] for trial in failed} == {"train/expression is not finite"}


def test_a_search_in_which_everything_fails_says_why(make_study):
    study = make_study(**{"search.trials": 2})
    said = study.start(never_above=0).end(1)
    assert "2 trials failed" in said
    assert "train/expression is not finite" in said


def test_other_settings_under_the_same_name_are_refused(make_study, by_formula):
    make_study().run(1)
    with pytest.raises(ConfigError, match=r"search\.study: loss-weights was made with other settings or data"):
        make_study(**{"train.lr": 0.1}).run(1)


def test_shards_cut_otherwise_from_the_same_data_are_another_study(make_study, by_formula):
    study = make_study()
    study.run(1)
    index = study.job.shards / INDEX_FILE
    index.write_text(json.dumps(read_json(index) | {"window": 1.5}))
    with pytest.raises(ConfigError, match=r"search\.study: loss-weights was made with other settings or data"):
        study.run(2)


def test_a_study_that_other_code_began_goes_on_and_says_so(make_study, by_formula, monkeypatch, caplog):
    study = make_study()
    study.run(1)
    study.run(1)
    assert "other training code" not in caplog.text
    monkeypatch.setattr("model.search.study.training_digest", lambda: "f" * 64)
    study.run(1)
    assert "loss-weights was begun by other training code" in caplog.text


def test_who_began_a_study_of_former_times_is_not_known(make_study, by_formula, caplog):
    study = make_study()
    study.run(1)
    study.study.set_user_attr(CODE, None)
    study.run(1)
    study.run(1)
    assert "begun by other training code (unknown, now" in caplog.text


def test_another_code_is_another_study_where_it_is_asked_for(make_study):
    job = make_study().job
    names = {study_digest(job.run, job.config, {"data_digest": "data"}, code=code) for code in ("", "a", "b")}
    assert len(names) == 3


def test_other_start_weights_in_the_same_place_are_another_study(make_study, by_formula, tmp_path):
    """T14."""
    weights = tmp_path / "start" / WEIGHTS_FILE
    weights.parent.mkdir()
    weights.write_bytes(b"of yesterday")
    study = make_study(**{"train.start_from": str(weights.parent)})
    study.run(1)
    weights.write_bytes(b"of today")
    with pytest.raises(ConfigError, match=r"search\.study: loss-weights was made with other settings or data"):
        study.run(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train.loss.expression_weight": 0.0}, r"expression_weight is 0\.0 in params\.yaml, not 0\.001"),
        ({"search.overrides": {"train.epoch": 3}}, r"train\.epoch: params\.yaml has no such key"),
        ({"search.overrides": {"train.epochs": 0}}, r"train\.epochs"),
        ({"search.space": [{"name": "train.loss.base_share", "low": 0.1, "high": 2.0}]}, r"loss\.base_share"),
        ({"search.space": [{"name": "train.batch_size", "low": 16, "high": 64}]}, r"train\.batch_size.*integer"),
        (
            {"train.net.tasks": ["landmarks"], "train.net.residual.kind": "none"},
            "pareto needs expression in train.net.tasks",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(make_study, change, message):
    study = make_study(**change)
    with pytest.raises(ConfigError, match=message):
        study.run(1)
    assert not study.job.places.database.exists()


def test_the_database_lets_readers_read_while_somebody_writes(make_study, by_formula):
    study = make_study()
    study.run(1)
    with sqlite3.connect(study.job.places.database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_database_that_cannot_be_opened_is_named_without_its_password(config, tmp_path, monkeypatch):
    """T22."""
    monkeypatch.setattr(storage_module, "OPENINGS", 1)
    monkeypatch.setenv("RMTL_SEARCH_STORAGE", f"postgresql+psycopg://me:canary@127.0.0.1:9/{tmp_path.name}")
    with pytest.raises(ServiceError, match="RMTL_SEARCH_STORAGE: ") as caught:
        open_storage(Places(tmp_path, "any"))
    assert "canary" not in str(caught.value)


def test_a_wrong_grace_is_a_configuration_error(tmp_path, monkeypatch):
    monkeypatch.setenv("RMTL_SEARCH_GRACE_S", "soon")
    with pytest.raises(ConfigError, match="RMTL_SEARCH_GRACE_S=soon: need a whole number from 2 to 86400"):
        open_storage(Places(tmp_path, "any"))
