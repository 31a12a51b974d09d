"""The endpoint as a whole: TorchServe on closed ports, the router before it, golden answers before it counts."""

import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from model.config import DeployConfig
from model.errors import ServiceError
from model.schema import Box, Deployment, to_json
from model.serving import processes, torchserve
from model.serving.archive import read_package, unpack
from model.serving.client import EndpointClient
from model.serving.golden import differences, golden_pictures
from model.serving.predictor import Predictor
from model.serving.router import SETTINGS_FILE, TOKEN_FILE, UPSTREAM_KEY_FILE, RouterSettings
from model.serving.torchserve import LOCALHOST, asked_port, check_port, find_java, free_ports
from model.storage import atomic_path, read_json, write_json

__all__ = ["Surroundings", "find_java", "is_whole", "start", "status", "stop"]

logger = logging.getLogger(__name__)

STATE_FILE = "state.json"
UPSTREAM_TIMEOUT_S = 60.0

_PROCESSES = ("router", "torchserve")
"""In the order in which they end: the router answers what is under way while TorchServe still works."""

Golden = Sequence[tuple[bytes, list[Box] | None]]


@dataclass(frozen=True)
class Surroundings:
    """Address the router listens on, and whether logs go to this process's stderr; else to files in the state folder.

    TorchServe itself listens on this machine only, wherever the router does.
    """

    host: str = LOCALHOST
    console: bool = False


HERE = Surroundings()


def start(
    config: DeployConfig,
    *,
    archive: Path,
    state: Path,
    report: Path,
    golden: Golden | None = None,
    around: Surroundings = HERE,
) -> Deployment:
    """Serve an archive and check its answers; the endpoint runs on when this process ends.

    The port is RMTL_PORT, else a free one. The client's token is RMTL_ENDPOINT_TOKEN, else a new one; either is
    written to the key file, readable by its owner only.

    Args:
        config: limits of the endpoint.
        archive: a `.mar` of `archive.package`.
        state: folder of this endpoint: configuration, keys, logs, process numbers.
        report: `deployment.json`, written last.
        golden: pictures and boxes whose answers are compared with those of a predictor in this process; made pictures
            where they are not given.
        around: who may ask, and where logs go; by default this machine, and files.

    Raises:
        ConfigError: RMTL_PORT is no port number.
        CheckpointError: the archive is unsafe or unusable.
        ServiceError: a port in use, an endpoint running in this folder, no readiness in time, or other answers.
        FaceError: no Java.
    """
    if status(state)["running"]:
        raise ServiceError(f"{state}: an endpoint is running from this folder; `rmtl deploy --stop` first")
    port = check_port(asked_port())
    find_java()
    with tempfile.TemporaryDirectory() as scratch:
        weights = unpack(archive, Path(scratch) / "weights")
        version = read_package(weights).model_version
        predictor = Predictor(weights, version=version)
        _prepare(config, archive, state, (around.host, port))
        try:
            client = _launch(config, state, archive.stem, console=around.console)
            _compare(client, predictor, golden or golden_pictures(config.golden))
        except BaseException:
            _end(state)
            raise
    deployment = Deployment(
        url=f"http://{LOCALHOST}:{port}",
        model=archive.stem,
        version=version,
        pid=read_json(state / STATE_FILE)["router"][0],
        key_file=str(state / TOKEN_FILE),
    )
    write_json(report, to_json(deployment))
    return deployment


def stop(deployment: Deployment | None, *, state: Path) -> bool:
    """End an endpoint and all its processes; whether there was one.

    The folder tells; the deployment's number is used where the folder is gone.
    """
    ended = _end(state)
    if deployment and deployment.pid and not ended and _is_router(deployment.pid):
        ended = processes.terminate([psutil.Process(deployment.pid)])
    return ended


def status(state: Path) -> dict[str, Any]:
    """Whether an endpoint runs from this folder, whether it is ready, and at which address."""
    if not (state / STATE_FILE).is_file():
        return {"running": False, "ready": False, "url": None}
    found = _processes(state)
    settings = RouterSettings(**read_json(state / SETTINGS_FILE))
    url = f"http://{settings.host}:{settings.port}"
    return {"running": bool(found), "ready": bool(found) and _ready(url), "url": url}


def is_whole(state: Path) -> bool:
    """Whether router and TorchServe both run."""
    return len(_processes(state)) == len(_PROCESSES)


def _prepare(config: DeployConfig, archive: Path, state: Path, address: tuple[str, int]) -> None:
    store = state / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    shutil.copyfile(archive, store / archive.name)
    ports = torchserve.Ports(*free_ports(len(torchserve.Ports._fields)))
    max_body = config.max_body_mb << 20
    text = torchserve.configuration(ports, store=store, archive=archive.name, max_body_bytes=max_body)
    (state / "config.properties").write_text(text)
    (state / UPSTREAM_KEY_FILE).unlink(missing_ok=True)
    settings = RouterSettings(
        host=address[0],
        port=address[1],
        upstream=f"http://{LOCALHOST}:{ports.inference}",
        model=archive.stem,
        max_body_bytes=max_body,
        max_in_flight=config.max_in_flight,
        retry_after_s=config.retry_after_s,
        timeout_s=UPSTREAM_TIMEOUT_S,
    )
    write_json(state / SETTINGS_FILE, settings.to_json())
    token = os.environ.get("RMTL_ENDPOINT_TOKEN") or secrets.token_urlsafe(24)
    with atomic_path(state / TOKEN_FILE) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(token + "\n")


def _launch(config: DeployConfig, state: Path, name: str, *, console: bool) -> EndpointClient:
    """Start both processes, note them, and wait until the model is ready."""
    scratch = Path(tempfile.mkdtemp(prefix="rmtl-", dir="/tmp"))
    deadline = time.monotonic() + config.startup_s
    server = torchserve.launch(state, store=state / "store", scratch=scratch, console=console)
    noted: dict[str, Any] = {"scratch": str(scratch), "torchserve": processes.identity(server.pid)}
    write_json(state / STATE_FILE, noted)
    while not (state / UPSTREAM_KEY_FILE).is_file():
        _wait(server, deadline, state)
    with (state / "router.log").open("wb") as log:
        command = [sys.executable, "-m", "model.serving.router", str(state)]
        environment = torchserve.clean_environment()
        output = None if console else log
        router = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    write_json(state / STATE_FILE, noted | {"router": processes.identity(router.pid)})
    url = f"http://{LOCALHOST}:{read_json(state / SETTINGS_FILE)['port']}"
    while not _ready(url):
        _wait(server, deadline, state)
        _wait(router, deadline, state)
    return EndpointClient(url, model=name, token=(state / TOKEN_FILE).read_text().strip())


def _wait(process: subprocess.Popen[bytes], deadline: float, state: Path) -> None:
    if process.poll() is not None:
        raise ServiceError(f"a server process ended with {process.returncode} while starting; see the logs in {state}")
    if time.monotonic() > deadline:
        raise ServiceError(f"the model was not ready within `deploy.startup_s`; see the logs in {state}")
    time.sleep(0.1)


def _compare(client: EndpointClient, predictor: Predictor, golden: Golden) -> None:
    for number, (content, boxes) in enumerate(golden):
        wrong = differences(predictor.predict(content, boxes), client.predict(content, boxes))
        if wrong:
            raise ServiceError(f"golden picture {number}: the endpoint answers otherwise: {'; '.join(wrong)}")
    logger.info("%d golden answers agree", len(golden))


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/ping", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _processes(state: Path) -> list[psutil.Process]:
    """Processes of the state file that still run, router first."""
    noted = read_json(state / STATE_FILE)
    found = []
    for name in _PROCESSES:
        process = processes.find(*noted.get(name, (0, 0.0)))
        found += [process] if process else []
    return found


def _end(state: Path) -> bool:
    if not (state / STATE_FILE).is_file():
        return False
    ended = processes.terminate(_processes(state))
    shutil.rmtree(read_json(state / STATE_FILE)["scratch"], ignore_errors=True)
    (state / STATE_FILE).unlink()
    return ended


def _is_router(pid: int) -> bool:
    return processes.is_alive(pid) and "model.serving.router" in psutil.Process(pid).cmdline()
