"""Fixtures for tests against the stand-in of the Kubeflow Pipelines server."""

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from model.errors import FaceError
from pipelines.progress import Patience
from pipelines.server import Connection, connect, read_server
from pipelines.submit import Run, submit, upload
from pipelines.submit_cli import SUBMIT_COMMANDS, add_submit_parsers
from tests.kfp_server import TOKEN, KfpServer, run_kfp
from tests.pipelines.asking import Tree
from tests.pipelines.small import ARGUMENTS, package

VARIABLES = ("HOST", "NAMESPACE", "TOKEN", "EXPERIMENT", "CA", "SERVICE_ACCOUNT")
REMOTE = "s3://bucket/face"


class Ended(NamedTuple):
    """What a command printed before it ended, and the failure it ended with."""

    lines: list[str]
    failure: FaceError | None


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings of a server."""
    for name in VARIABLES:
        monkeypatch.delenv(f"RMTL_KFP_{name}", raising=False)
    monkeypatch.setenv("RMTL_S3_REMOTE", REMOTE)
    for name in ("RMTL_REPOSITORY", "RMTL_JOURNAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch, no_server: None) -> Iterator[KfpServer]:
    """A server that wants a token, and an environment that names it."""
    with run_kfp(token=TOKEN) as server:
        monkeypatch.setenv("RMTL_KFP_HOST", server.url)
        monkeypatch.setenv("RMTL_KFP_TOKEN", TOKEN)
        yield server


@pytest.fixture
def connection(kfp: KfpServer) -> Connection:
    return connect(read_server())


@pytest.fixture(scope="session")
def small_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled pipeline of three steps."""
    return package(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def compiled(small_package: Path) -> list[Tree]:
    return list(yaml.safe_load_all(small_package.read_text()))


@pytest.fixture
def parts(compiled: list[Tree]) -> list[Tree]:
    """Pipeline and platform specification, to be spoiled."""
    return copy.deepcopy(compiled)


@pytest.fixture
def run(small_package: Path, connection: Connection) -> Run:
    """A run that was accepted."""
    return submit(upload(small_package, connection), ARGUMENTS, title="a run", connection=connection)


@pytest.fixture
def command(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs a command of `python -m pipelines` in this process, in the repository, asking the server often."""
    monkeypatch.chdir(root)
    monkeypatch.setattr("pipelines.progress.PATIENCE", Patience(pace_s=0.05, outage_s=5))

    def run(*arguments: str) -> Ended:
        parser = argparse.ArgumentParser()
        add_submit_parsers(parser.add_subparsers(dest="command"))
        options = parser.parse_args(arguments)
        lines: list[str] = []
        try:
            for line in SUBMIT_COMMANDS[options.command](options):
                lines.append(line)
        except FaceError as error:
            return Ended(lines, error)
        return Ended(lines, None)

    return run
