"""A project with data, and a bucket on a real S3 server."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.cli.recipe import write_values
from model.s3 import s3_client
from tests.data.layouts import make_generic
from tests.remote.places import BUCKET, REMOTE, dvc, unknown
from tests.s3 import ACCESS, SECRET, Server, run_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`configured(url, secret=..., remote=...)` sets the variables and returns a client for them."""

    def configure(url: str, *, secret: str = SECRET, remote: str = REMOTE) -> Any:
        values = {
            "RMTL_S3_REMOTE": remote,
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        s3_client.cache_clear()
        return s3_client()

    unknown(monkeypatch)
    yield configure
    s3_client.cache_clear()


@pytest.fixture(scope="module")
def template(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC project with a small data folder under control."""
    project = tmp_path_factory.mktemp("template") / "project"
    source = make_generic(project / "data", faces=2)
    (project / "params.yaml").write_text((root / "params.yaml").read_text())
    write_values(project / "params.yaml", {"index.sources": [source.model_dump(mode="json")]})
    for command in (["git", "init", "--quiet"], [*dvc(), "init", "--quiet"], [*dvc(), "add", "--quiet", "data"]):
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    return project


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "project")


@pytest.fixture
def bucket(server: Server, configured: Callable[..., Any]) -> Iterator[Any]:
    """A client of the running server, with an empty bucket."""
    client = configured(server.url)
    client.create_bucket(Bucket=BUCKET)
    yield client
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)
