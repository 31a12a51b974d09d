import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import ConfigError, ServiceError
from model.registry import client
from model.registry.client import open_store, redact_address, tracking_uri


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_the_default_store_lies_in_the_working_folder(workspace: Path) -> None:
    assert tracking_uri() == f"sqlite:///{workspace}/mlflow.db"
    with open_store() as store:
        experiment = store.client.get_experiment(store.experiment("one"))
        assert store.experiment("one") == experiment.experiment_id
    assert experiment.artifact_location == (workspace / "mlartifacts/one").as_uri()


def test_a_server_that_never_answers_fails_within_seconds(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    """T21: hung, not dead."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_port}")
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"out of reach.*start it or set MLFLOW_TRACKING_URI"), open_store():
        pass
    assert time.monotonic() - began < 2 * client.CONNECT_S


def test_a_damaged_database_fails_at_once(workspace: Path) -> None:
    (workspace / "mlflow.db").write_bytes(b"not a database, but longer than a header" * 10)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="file is not a database"), open_store():
        pass
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "databricks", "mysql://me:hush@host/db"])
def test_other_kinds_of_store_are_refused_without_their_password(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match="sqlite:///file or postgresql://user@host/database") as caught:
        tracking_uri()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_postgres_address_gets_a_driver_that_is_there(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me@host/db")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "psycopg2" or None)
    assert tracking_uri() == "postgresql+psycopg2://me@host/db"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"no driver psycopg for Postgres; pip install 'residual-mtl\[postgres\]'"):
        tracking_uri()


def test_passwords_are_taken_out_of_every_address() -> None:
    text = "from http://a:b@host/x and postgresql+psycopg://c@host/y to s3://bucket/key@v"
    assert redact_address(text) == "from http://***@host/x and postgresql+psycopg://***@host/y to s3://bucket/key@v"


@pytest.mark.parametrize("password", ["Ab/cd3f=", "p@ss", "a:b/c@d"])
def test_passwords_with_marks_of_an_address_are_taken_out_whole(password: str) -> None:
    assert redact_address(f"at postgresql://me:{password}@host:5432/db now") == "at postgresql://***@host:5432/db now"


def test_pickles_are_off_for_everybody_who_imports_the_package() -> None:
    """T33: MLflow's own loaders refuse them as well."""
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION

    assert MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get() is False
