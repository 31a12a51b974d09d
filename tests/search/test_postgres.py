"""Workers of several machines on one Postgres, which dies in the middle."""

import time
from collections import Counter
from collections.abc import Iterator
from threading import Timer

import pytest

from model.errors import ServiceError
from model.search import worker as working
from model.search.places import Places
from model.search.storage import open_storage
from model.search.trials import PLACE, REPEATS
from tests.postgres import Postgres, binaries

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    folder = binaries()
    if folder is None:
        pytest.skip("no Postgres here: apt-get install postgresql")
    postgres = Postgres(folder)
    yield postgres
    postgres.remove()


@pytest.fixture
def on_postgres(server, make_study, monkeypatch):
    """Builder of a search whose study lies on the server, one a test."""

    def make(name="one", **values):
        monkeypatch.setenv("RMTL_SEARCH_STORAGE", server.url)
        return make_study(name, **values)

    return make


def states(study):
    return Counter(trial.state.name for trial in study.trials)


def test_a_database_killed_in_mid_study_loses_no_trial(server, on_postgres):
    """T22: the workers wait until it is back, then tell what they trained meanwhile."""
    study = on_postgres(**{"search.study": "killed", "search.trials": 8})
    workers = [study.start(seconds=0.5) for _ in range(2)]
    study.wait_for(4)
    finished = {trial.number: trial.values for trial in study.trials if trial.values}
    server.kill()
    time.sleep(3)
    server.start()
    for worker in workers:
        said = worker.end()
        assert "canary" not in said
    assert states(study)["COMPLETE"] == 8
    assert finished.items() <= {trial.number: trial.values for trial in study.trials}.items()


def test_a_database_killed_while_a_trial_is_told_loses_nothing(server, on_postgres, by_formula, monkeypatch):
    """T22: Optuna can then neither tell nor ask how the trial stands."""
    study = on_postgres(**{"search.study": "untold", "search.trials": 2})
    train_trial, away = working.train_trial, []

    def train_then_kill(*given):
        values = train_trial(*given)
        if not away:
            server.kill()
            away.append(Timer(2, server.start))
            away[0].start()
        return values

    monkeypatch.setattr(working, "train_trial", train_then_kill)
    study.run()
    away[0].join()
    assert states(study)["COMPLETE"] == 2


def test_another_machine_takes_up_the_trial_of_a_dead_one(on_postgres):
    """T22: folders of their own stand for machines; only signs of life tell of the other one's trials."""
    values = {"search.study": "machines", "search.trials": 4}
    dying, living = on_postgres("dying", **values), on_postgres("living", **values)
    victim = dying.start(seconds=60)
    dying.wait_for(1)
    time.sleep(0.5)
    victim.kill()
    worker = living.start()
    worker.end()
    assert states(living) == {"COMPLETE": 4, "FAIL": 1}
    retried = [trial for trial in living.trials if REPEATS in trial.user_attrs]
    assert [trial.params for trial in retried] == [living.trials[retried[0].user_attrs[REPEATS]].params]
    assert retried[0].user_attrs[PLACE] == living.job.places.here


def test_a_living_trial_on_another_machine_is_left_alone(on_postgres):
    """T22."""
    values = {"search.study": "slow", "search.trials": 2}
    slow, quick = on_postgres("slow", **values), on_postgres("quick", **values)
    worker = slow.start(seconds=6)
    slow.wait_for(1)
    other = quick.start()
    worker.end()
    other.end()
    assert states(slow) == {"COMPLETE": 2}


def test_a_server_that_is_away_is_named_by_its_variable(server, on_postgres, tmp_path, monkeypatch):
    monkeypatch.setattr("model.search.storage.OPENINGS", 1)
    on_postgres("any")
    server.kill()
    try:
        with pytest.raises(ServiceError, match=r"RMTL_SEARCH_STORAGE: .*; is it away") as caught:
            open_storage(Places(tmp_path, "any"))
        assert "canary" not in str(caught.value)
    finally:
        server.start()
