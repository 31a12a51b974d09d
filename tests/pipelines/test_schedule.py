"""Recurring runs, against the stand-in of the server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import ConfigError
from pipelines.schedule import Schedule, schedule, schedules, server_cron, stop
from pipelines.server import Connection
from pipelines.submit import Version, upload
from tests.kfp_cron import check_cron
from tests.kfp_server import KfpServer
from tests.pipelines.conftest import Ended
from tests.pipelines.small import ARGUMENTS

pytestmark = pytest.mark.service

REPOSITORY = "https://git.example.com/team/face.git"
NIGHTLY = "0 6 * * *"


@pytest.fixture
def version(small_package: Path, connection: Connection) -> Version:
    return upload(small_package, connection)


@pytest.fixture
def nightly(version: Version, connection: Connection) -> Schedule:
    return schedule(version, ARGUMENTS, name="nightly", cron=NIGHTLY, connection=connection)


def test_a_schedule_starts_one_run_at_a_time_and_catches_up_on_none(kfp: KfpServer, nightly: Schedule) -> None:
    (stored,) = kfp.recurring_runs.values()
    assert stored["max_concurrency"] == "1"
    assert stored["no_catchup"] is True
    assert stored["status"] == "ENABLED"
    assert stored["trigger"] == {"cron_schedule": {"cron": "0 0 6 * * *"}}
    assert stored["runtime_config"]["parameters"] == ARGUMENTS


def test_a_schedule_of_the_same_name_is_replaced_and_others_stay(
    version: Version, nightly: Schedule, connection: Connection
) -> None:
    weekly = schedule(version, ARGUMENTS, name="weekly", cron="@weekly", connection=connection)
    later = schedule(version, ARGUMENTS, name="nightly", cron="30 7 * * *", connection=connection)
    assert sorted(schedules(connection), key=lambda item: item.name) == [later, weekly]
    assert later.cron == "0 30 7 * * *"


def test_a_refused_schedule_leaves_the_former_in_place(
    version: Version, nightly: Schedule, connection: Connection
) -> None:
    with pytest.raises(ConfigError, match="not a supported format"):
        schedule(version, ARGUMENTS, name="nightly", cron="0 25 * * *", connection=connection)
    with pytest.raises(ConfigError, match="input parameter seed"):
        schedule(version, {**ARGUMENTS, "seed": "x"}, name="nightly", cron=NIGHTLY, connection=connection)
    assert schedules(connection) == [nightly]


def test_a_schedule_is_stopped_by_name(nightly: Schedule, connection: Connection) -> None:
    with pytest.raises(ConfigError, match="it has: nightly"):
        stop("weekly", connection)
    assert stop("nightly", connection) == [nightly]
    assert schedules(connection) == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0 6 * * *", "0 0 6 * * *"),
        ("*/15 8-18 * * 1-5", "0 */15 8-18 * * 1-5"),
        ("30 0 6 * * *", "30 0 6 * * *"),
        ("@daily", "@daily"),
        ("@every 6h", "@every 6h"),
    ],
)
def test_five_fields_get_a_second_before_them(written: str, read: str) -> None:
    """The server would read five fields too, from seconds to months: every hour at six minutes past, in this case."""
    check_cron(written)
    check_cron(read)
    assert server_cron(written) == read


@pytest.mark.parametrize("line", ["", "0 6 *", "every morning at six or so it seems"])
def test_a_line_of_another_length_is_refused_with_an_example(line: str) -> None:
    with pytest.raises(ConfigError, match=r"'0 6 \* \* \*'"):
        server_cron(line)


def test_the_command_schedules_a_revision_that_each_run_looks_up(kfp: KfpServer, command: Callable[..., Ended]) -> None:
    ended = command("schedule", "--cron", NIGHTLY, "--repository", REPOSITORY, "--json")
    assert ended.failure is None
    about = json.loads("".join(ended.lines))
    assert about["name"] == "residual-mtl-training"
    assert about["data_version"] == "main"
    (stored,) = kfp.recurring_runs.values()
    parameters = stored["runtime_config"]["parameters"]
    assert parameters["data_version"] == "main"
    assert parameters["named_by"] == "revision"
    assert parameters["repository"] == REPOSITORY


@pytest.mark.parametrize("repository", [None, ".", "/srv/face"])
def test_a_revision_needs_a_repository_that_pods_can_reach(
    kfp: KfpServer, command: Callable[..., Ended], repository: str | None
) -> None:
    ended = command("schedule", "--cron", NIGHTLY, *(["--repository", repository] if repository else []))
    assert ended.failure is not None
    assert ended.failure.exit_code == 2
    assert "repository" in str(ended.failure)
    assert kfp.recurring_runs == {}


def test_the_command_lists_and_stops(
    kfp: KfpServer, command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMTL_REPOSITORY", "git@git.example.com:team/face.git")
    assert command("schedules").lines == ["no schedule in experiment residual-mtl"]
    assert command("schedule", "--cron", NIGHTLY, "--name", "nightly").failure is None
    assert command("schedules").lines == ["nightly  on  '0 0 6 * * *'  data version main"]
    (listed,) = json.loads("".join(command("schedules", "--json").lines))
    assert listed["enabled"] is True
    assert command("schedules", "--stop", "nightly").lines == ["nightly  stopped  '0 0 6 * * *'  data version main"]
    assert kfp.recurring_runs == {}


def test_a_wrong_cron_line_is_told_before_anything_is_uploaded(kfp: KfpServer, command: Callable[..., Ended]) -> None:
    ended = command("schedule", "--cron", "daily", "--repository", REPOSITORY)
    assert ended.failure is not None
    assert ended.failure.exit_code == 2
    assert kfp.requests == []
