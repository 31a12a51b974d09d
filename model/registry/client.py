"""The one door to MLflow: where it is, how long to wait for it, and what its failures mean.

Places come from the environment: `MLFLOW_TRACKING_URI` (default: `mlflow.db` in the working folder) and, where no
server hands out artifact places, `MLFLOW_DEFAULT_ARTIFACT_ROOT` (default: `mlartifacts` beside it).
"""

import fcntl
import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import sqlalchemy
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from model.errors import ConfigError, RegistryError, ServiceError

CONNECT_S = 5
OUT_OF_REACH = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "ENDPOINT_NOT_FOUND")
# A password may hold `/` and `@`.
_USERINFO = re.compile(r"(://)(?:\S*:\S*|[^/@\s]+)@")


@dataclass(frozen=True)
class Store:
    """A tracking store and registry that has answered once.

    `shown` is the address without a password; `artifact_root` is None where the server decides,
    `database` the file of a local store.
    """

    client: MlflowClient
    uri: str
    shown: str
    artifact_root: str | None
    database: Path | None

    def experiment(self, name: str) -> str:
        """The id of an experiment, made on first use; the losing one of two makers takes the winner's."""
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self.artifact_root}/{name}" if self.artifact_root else None
        try:
            return str(self.client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self.experiment(name)

    def download(self, location: str, name: str, into: Path) -> Path:
        """One named file out of a version's artifacts; folders are never fetched."""
        return Path(download_artifacts(artifact_uri=f"{location}/{name}", dst_path=str(into), tracking_uri=self.uri))

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """One process at a time on a local database file; a server orders its clients itself."""
        if self.database is None:
            yield
            return
        with self.database.with_name(f"{self.database.name}.{what}.lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


@contextmanager
def open_store() -> Iterator[Store]:
    """Connect within seconds or fail; failures inside the block become ours too.

    Raises:
        ConfigError: an address that cannot be used, or a missing database driver.
        ServiceError: MLflow is out of reach, at the start or in the middle.
        RegistryError: MLflow refuses or does not know what was asked for.
    """
    uri = tracking_uri()
    shown = redact_address(uri)
    try:
        yield _connect(uri, shown)
    except MlflowException as error:
        message = redact_address(str(error)).splitlines()[0][:300]
        if error.error_code in OUT_OF_REACH:
            raise _away(shown, message) from error
        raise RegistryError(f"MLflow at {shown}: {message}") from error
    except (requests.RequestException, SQLAlchemyError) as error:
        raise _away(shown, redact_address(str(error)).splitlines()[0][:300]) from error


def tracking_uri() -> str:
    """The address from the environment, with a database driver that is installed.

    Raises:
        ConfigError: an unknown kind of address, or no driver for it.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    scheme = uri.partition("://")[0]
    match scheme.partition("+")[0]:
        case "http" | "https" | "sqlite":
            return uri
        case "postgresql" | "postgres":
            return f"postgresql+{_postgres_driver(scheme)}://{uri.partition('://')[2]}"
        case _:
            raise ConfigError(
                f"MLFLOW_TRACKING_URI={redact_address(uri)}: use http(s)://host:port, sqlite:///file or "
                "postgresql://user@host/database"
            )


def redact_address(text: str) -> str:
    """The text with user and password taken out of every address in it."""
    return _USERINFO.sub(r"\1***@", text)


def _connect(uri: str, shown: str) -> Store:
    if uri.startswith("http"):
        _check_server(uri, shown)
        return Store(MlflowClient(uri, registry_uri=uri), uri, shown, None, None)
    root = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT") or str(Path.cwd() / "mlartifacts")
    root = root.rstrip("/") if "://" in root else Path(root).absolute().as_uri()
    if not uri.startswith("sqlite"):
        _check_database(uri, {"connect_timeout": CONNECT_S})
        return Store(MlflowClient(uri, registry_uri=uri), uri, shown, root, None)
    file = Path(uri.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    _check_database(uri, {})
    store = Store(MlflowClient(uri, registry_uri=uri), uri, shown, root, file)
    with store.locked("tables"):  # the first use makes the tables, which two processes may not do at once
        store.client.search_registered_models(max_results=1)
        store.client.search_experiments(max_results=1)
    return store


def _check_server(uri: str, shown: str) -> None:
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=CONNECT_S)
    except requests.RequestException as error:
        raise _away(shown, redact_address(str(error))[:300]) from error
    if answer.status_code >= 500:
        raise _away(shown, f"it answers {answer.status_code}")


def _check_database(uri: str, limits: dict[str, int]) -> None:
    """Try once, with a limit: MLflow itself retries a dead or damaged database for minutes."""
    engine = sqlalchemy.create_engine(uri, connect_args=limits)
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _postgres_driver(scheme: str) -> str:
    _, _, asked = scheme.partition("+")
    for driver in (asked,) if asked else ("psycopg", "psycopg2"):
        if importlib.util.find_spec(driver):
            return driver
    raise ConfigError(
        f"MLFLOW_TRACKING_URI: no driver {asked or 'psycopg'} for Postgres; pip install 'residual-mtl[postgres]'"
    )


def _away(shown: str, why: str) -> ServiceError:
    return ServiceError(
        f"MLflow at {shown} is out of reach: {why}; start it or set MLFLOW_TRACKING_URI, then repeat the command: "
        "nothing is lost, training keeps its curves in metrics.jsonl"
    )
