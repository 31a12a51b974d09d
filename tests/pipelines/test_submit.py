"""Submission of runs, against the stand-in of the server."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import ConfigError
from pipelines.server import Connection, OutageError, connect, read_server
from pipelines.submit import Run, submit, upload
from tests.kfp_server import KfpServer
from tests.pipelines.small import ARGUMENTS

pytestmark = pytest.mark.service


def test_the_first_time_makes_pipeline_version_experiment_and_run(kfp: KfpServer, run: Run) -> None:
    assert kfp.writes() == [
        ("POST", "/pipelines"),
        ("POST", "/pipelines/upload_version"),
        ("POST", "/experiments"),
        ("POST", "/runs"),
    ]
    (stored,) = kfp.runs.values()
    assert stored["display_name"] == "a run"
    assert stored["runtime_config"]["parameters"] == ARGUMENTS
    assert stored["pipeline_version_reference"]["pipeline_version_id"] == run.version.version_id
    assert run.url == f"{kfp.url}/#/runs/details/{run.run_id}"
    assert next(iter(kfp.experiments.values()))["display_name"] == "residual-mtl"


def test_the_second_time_starts_a_run_of_the_same_version(
    kfp: KfpServer, run: Run, small_package: Path, connection: Connection
) -> None:
    kfp.requests.clear()
    submit(upload(small_package, connection), ARGUMENTS, title="again", connection=connection)
    assert kfp.writes() == [("POST", "/runs")]


def test_a_changed_pipeline_becomes_another_version_of_the_same_pipeline(
    kfp: KfpServer, run: Run, small_package: Path, connection: Connection, tmp_path: Path
) -> None:
    changed = tmp_path / "small.yaml"
    changed.write_text(small_package.read_text().replace("face:1.0", "face:2.0"))
    version = upload(changed, connection)
    assert version.pipeline_id == run.version.pipeline_id
    assert version.name != run.version.name
    assert len(kfp.versions) == 2


def test_two_who_submit_at_once_share_what_the_first_made(
    kfp: KfpServer, connection: Connection, small_package: Path
) -> None:
    """T24."""
    kfp.faults.delay_s = 0.2
    connections = [connection, connect(read_server())]
    with ThreadPoolExecutor() as pool:
        versions = list(pool.map(lambda each: upload(small_package, each), connections))
    assert versions[0] == versions[1]
    assert len(kfp.pipelines) == len(kfp.versions) == 1
    assert kfp.writes().count(("POST", "/pipelines")) == 2


def test_a_refused_argument_is_a_wrong_configuration(run: Run, small_package: Path, connection: Connection) -> None:
    with pytest.raises(ConfigError, match="input parameter seed"):
        submit(run.version, {**ARGUMENTS, "seed": "seven"}, title="x", connection=connection)


def test_a_service_account_is_passed_on(kfp: KfpServer, small_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for account in (None, "default-editor"):
        if account:
            monkeypatch.setenv("RMTL_KFP_SERVICE_ACCOUNT", account)
        connection = connect(read_server())
        submit(upload(small_package, connection), ARGUMENTS, title="a run", connection=connection)
    assert [run["service_account"] for run in kfp.runs.values()] == ["rmtl", "default-editor"]


def test_a_lost_answer_says_that_the_run_may_have_begun(kfp: KfpServer, run: Run) -> None:
    hurried = connect(replace(read_server(), timeout_s=(1, 0.5)))
    kfp.faults.late = {"/runs": 1.5}
    with pytest.raises(OutageError, match="'twice' may have begun"):
        submit(run.version, ARGUMENTS, title="twice", connection=hurried)
    assert len(kfp.runs) == 2


def test_more_than_a_page_of_versions_is_searched(
    run: Run, connection: Connection, small_package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipelines.submit.PAGE", 1)
    for number in range(3):
        other = tmp_path / f"{number}.yaml"
        other.write_text(small_package.read_text().replace("face:1.0", f"face:3.{number}"))
        upload(other, connection)
    assert upload(small_package, connection) == run.version
