"""`rmtl doctor`: what this machine has, a line each, and what to do about the rest."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlparse

import typer

from model.cli.app import AsJson, app
from model.errors import ConfigError, FaceError, ServiceError
from model.search import STORAGE

PACKAGES = ("torch", "mlflow", "dvc", "boto3", "great-expectations", "optuna", "kfp", "torchserve")
PORT = "RMTL_PORT"
LOW_DISK_BYTES = 5 * 1024**3
KUBEFLOW_S = 60
HTTP_PORTS = {"http": 80, "https": 443}
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

Status = Literal["ok", "note", "away"]


class Finding(NamedTuple):
    """One line; `away` is a configured service that does not answer, or whose address cannot work."""

    name: str
    status: Status
    text: str


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Tell what is installed, free and reachable; exit code 5 where a configured service is away.

    Example: rmtl doctor
    """
    findings = [finding for check in _CHECKS for finding in check()]
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for name, status, text in findings:
            typer.echo(f"{status:<5} {name:<18} {text}")
    away = [finding.name for finding in findings if finding.status == "away"]
    if away:
        raise ServiceError(f"configured but out of reach: {', '.join(away)}")


def _packages() -> Iterator[Finding]:
    yield Finding("python", "ok", sys.version.split()[0])
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "note", "not installed; `make setup`")


def _java() -> Iterator[Finding]:
    from model.serving.server import find_java

    try:
        yield Finding("java", "ok", str(find_java()))
    except FaceError as error:
        yield Finding("java", "note", str(error))


def _port() -> Iterator[Finding]:
    from model.serving.torchserve import is_port

    name, port = "port endpoint", os.environ.get(PORT)
    if port is None:
        yield Finding(name, "ok", f"a free one is taken; set {PORT} to fix it")
    elif not is_port(port):
        yield Finding(name, "note", f"{PORT}={port} is no port number from 1 to 65535")
    elif _listens("127.0.0.1", int(port)):
        yield Finding(name, "note", f"{port} is in use; stop its owner or change {PORT}")
    else:
        yield Finding(name, "ok", f"{port} is free")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1024**3:.1f} GiB free"
    yield Finding("disk", "ok", text) if free > LOW_DISK_BYTES else Finding("disk", "note", f"{text}; need about 5")


def _dvc_remote() -> Iterator[Finding]:
    command = [sys.executable, "-m", "dvc", "remote", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode:
        yield Finding("dvc remote", "note", "no DVC project here; run from the folder that holds params.yaml")
        return
    for line in listing.stdout.splitlines():
        yield Finding("dvc remote", "ok", " ".join(line.split()))
    present = Path("data").is_dir()
    yield Finding("data", "ok" if present else "note", "pulled" if present else "not pulled; `rmtl data pull`")


def _mlflow() -> Iterator[Finding]:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        yield Finding("mlflow", "ok", "local file mlflow.db; set MLFLOW_TRACKING_URI for a server")
        return
    try:
        from model.registry.client import tracking_uri

        address = tracking_uri()
    except ImportError:
        yield Finding("mlflow", "note", "not asked: mlflow is not installed here")
        return
    except ConfigError as error:
        # Its head repeats what was set, which need not look like an address and may hold a password.
        advice = str(error).rpartition(": ")[2]
        yield Finding("mlflow", "away", f"MLFLOW_TRACKING_URI cannot be used: {advice}")
        return
    advice = "start it, or unset MLFLOW_TRACKING_URI to work in a local file"
    ask = _server if address.startswith("http") else _database
    yield ask("mlflow", address, advice)


def _search_storage() -> Iterator[Finding]:
    address = os.environ.get(STORAGE)
    if not address:
        yield Finding("search storage", "ok", f"not configured; set {STORAGE} for workers on several machines")
        return
    yield _database("search storage", address, f"start it, correct {STORAGE}, or unset it to search in a local file")


def _s3() -> Iterator[Finding]:
    remote = os.environ.get("RMTL_S3_REMOTE")
    if not remote:
        yield Finding("s3", "ok", "not configured; set RMTL_S3_REMOTE for a shared data remote")
        return
    from model.s3 import probe

    try:
        probe(remote)
        yield Finding("s3", "ok", f"bucket {urlparse(remote).netloc} answers")
    except FaceError as error:
        yield Finding("s3", "away", str(error))


def _kubeflow() -> Iterator[Finding]:
    if not os.environ.get("RMTL_KFP_HOST"):
        yield Finding("kubeflow", "ok", "not configured; set RMTL_KFP_HOST to submit pipelines")
        return
    command = [sys.executable, "-m", "pipelines.server"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=KUBEFLOW_S)
    except subprocess.TimeoutExpired:
        yield Finding("kubeflow", "away", f"no answer in {KUBEFLOW_S} s; check RMTL_KFP_HOST")
        return
    lines = (asked.stderr if asked.returncode else asked.stdout).strip().splitlines() or ["ended without a word"]
    yield Finding("kubeflow", "away" if asked.returncode else "ok", lines[-1])


def _token() -> Iterator[Finding]:
    known = "set" if os.environ.get("RMTL_ENDPOINT_TOKEN") else "not set; `rmtl deploy` writes one into its key file"
    yield Finding("endpoint token", "ok", known)


def _server(name: str, address: str, advice: str) -> Finding:
    parts = urlparse(address)
    try:
        given = parts.port
    except ValueError:
        # Its message has the text before the port, which may be a password.
        return Finding(name, "away", f"the port of its address is no number; {advice}")
    port = given or HTTP_PORTS.get(parts.scheme)
    if parts.hostname is None or port is None:
        return Finding(name, "away", f"its address names no host; {advice}")
    place = f"{parts.scheme}://{parts.hostname}:{port}"
    if _listens(parts.hostname, port):
        return Finding(name, "ok", place)
    return Finding(name, "away", f"{place} does not answer; {advice}")


def _database(name: str, address: str, advice: str) -> Finding:
    """Whether the host of an SQLAlchemy address answers; the address may hold a password, so no part of it is shown."""
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        url = make_url(address)
        url.get_dialect().import_dbapi()
    except ImportError:
        return Finding(name, "away", "the driver of its database is not installed; for Postgres: the extra `postgres`")
    except (ArgumentError, ValueError):
        return Finding(name, "away", f"its address is none that SQLAlchemy can use; {advice}")
    kind = url.get_backend_name()
    if kind == "sqlite":
        return Finding(name, "ok", "a file of SQLite")
    port = url.port or DATABASE_PORTS.get(kind)
    if not url.host or port is None:
        return Finding(name, "note", f"not asked: its address names no {'port' if url.host else 'host'}")
    if _listens(url.host, port):
        return Finding(name, "ok", f"its host answers ({kind})")
    return Finding(name, "away", f"its host does not answer ({kind}); {advice}")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=3):
            return True
    except (OSError, UnicodeError):
        return False


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _packages,
    _java,
    _port,
    _disk,
    _dvc_remote,
    _mlflow,
    _search_storage,
    _s3,
    _kubeflow,
    _token,
)
