"""The endpoint as a whole: TorchServe on closed ports, the router before it, golden answers before it counts."""

import logging
import subprocess
import sys
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
from model.serving import packaged, processes, running, tokens, torchserve
from model.serving.client import EndpointClient
from model.serving.golden import differences, golden_pictures
from model.serving.predictor import Predictor
from model.serving.running import is_whole
from model.serving.session import local_address, open_session
from model.serving.settings import REFUSED_FILE, SETTINGS_FILE, TOKEN_FILE, RouterSettings, parse_settings
from model.serving.slot import POLL_S, Slot, close_slot, open_slot, sweep, wait_ready
from model.serving.strays import strays
from model.serving.torchserve import LOCALHOST, asked_port, check_port, find_java
from model.storage import read_json, write_json

__all__ = ["Surroundings", "find_java", "is_whole", "start", "status", "stop"]

logger = logging.getLogger(__name__)

UPSTREAM_TIMEOUT_S = 60.0

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
        ServiceError: a port in use, an endpoint running in this folder or coming up, no readiness in time, or other
            answers.
        FaceError: no Java.
    """
    check_free(state, around.host)
    find_java()
    with packaged.unpacked(archive) as predictor, running.alone(state):
        begin(config, predictor, archive=archive, state=state, golden=golden, around=around)
        return write_report(report, state, model=archive.stem, version=predictor.model_version)


def begin(
    config: DeployConfig,
    predictor: Predictor,
    *,
    archive: Path,
    state: Path,
    golden: Golden | None,
    around: Surroundings = HERE,
) -> None:
    """What `start` does once it has unpacked the archive and is alone in the folder."""
    port = check_free(state, around.host)
    model, url = archive.stem, local_address(around.host, port)
    sweep(state)
    (state / REFUSED_FILE).unlink(missing_ok=True)
    try:
        slot = come_up(config, archive, state, console=around.console)
        write_settings(config, state, slot, model=model, address=(around.host, port))
        tokens.write_tokens(state)
        _launch_router(config, state, url, console=around.console)
        client = EndpointClient(url, model=model, token=(state / TOKEN_FILE).read_text().strip())
        compare(client, predictor, golden or golden_pictures(config.golden))
    except BaseException:
        running.end(state)
        raise


def check_free(state: Path, host: str = LOCALHOST) -> int:
    """The port to listen on at an address of this machine.

    Raises:
        ConfigError: RMTL_PORT is no port number.
        ServiceError: it is in use, or an endpoint runs in this folder.
    """
    if status(state)["running"]:
        raise ServiceError(f"{state}: an endpoint is running from this folder; `rmtl deploy --stop` first")
    return check_port(asked_port(), host)


def stop(deployment: Deployment | None, *, state: Path) -> bool:
    """End an endpoint and all its processes; whether there was one.

    The folder tells. Where it tells of none but a deployment on this machine was reported, the folder may be gone, and
    the command lines of what runs on tell.
    """
    ended = running.end(state)
    if deployment and deployment.pid and not ended:
        ended = processes.terminate(strays(state))
    return ended


def status(state: Path) -> dict[str, Any]:
    """Whether an endpoint runs from this folder, whether it is ready, and at which address."""
    runs = running.router(state) is not None or any(slot.find() for slot in running.slots(state))
    settings = running.settings_of(state)
    if settings is None:
        return {"running": runs, "ready": False, "url": None}
    url = local_address(settings.host, settings.port)
    return {"running": runs, "ready": runs and _ready(url), "url": url}


def come_up(config: DeployConfig, archive: Path, state: Path, *, console: bool = False) -> Slot:
    """Start a TorchServe, note it, and wait until its model is loaded.

    Raises:
        ServiceError: it was not within `deploy.startup_s`.
        StorageError: it could not be noted; it is ended.
        FaceError: no Java.
    """
    deadline = time.monotonic() + config.startup_s
    slot = open_slot(config, archive, state, console=console)
    try:
        running.note_slots(state, [*running.slots(state), slot])
    except BaseException:
        # What is not noted is never found again.
        close_slot(slot)
        raise
    wait_ready(slot, state, deadline)
    return slot


def write_settings(config: DeployConfig, state: Path, slot: Slot, *, model: str, address: tuple[str, int]) -> None:
    """Write what the router goes by: whom it asks, its own address and its limits."""
    settings = RouterSettings(
        host=address[0],
        port=address[1],
        server=slot.name,
        upstream=slot.upstream,
        model=model,
        max_body_bytes=config.max_body_mb << 20,
        max_in_flight=config.max_in_flight,
        retry_after_s=config.retry_after_s,
        timeout_s=UPSTREAM_TIMEOUT_S,
    )
    write_json(state / SETTINGS_FILE, settings.to_json())


def _launch_router(config: DeployConfig, state: Path, url: str, *, console: bool) -> None:
    """Start the router, note it, and wait until it finds the model ready."""
    deadline = time.monotonic() + config.startup_s
    with (state / "router.log").open("wb") as log:
        command = [sys.executable, "-m", "model.serving.router", str(state)]
        environment = torchserve.clean_environment()
        output = None if console else log
        router = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        running.note_router(state, router.pid)
    except BaseException:
        processes.terminate([psutil.Process(router.pid)])
        raise
    while not _ready(url):
        if router.poll() is not None:
            raise ServiceError(f"the router ended with {router.returncode} while starting; see the logs in {state}")
        if time.monotonic() > deadline:
            raise ServiceError(f"the model was not ready within `deploy.startup_s`; see the logs in {state}")
        time.sleep(POLL_S)


def compare(client: EndpointClient, predictor: Predictor, golden: Golden) -> None:
    """See that a server gives the predictor's answers.

    Raises:
        ServiceError: it does not, or does not answer.
    """
    for number, (content, boxes) in enumerate(golden):
        wrong = differences(predictor.predict(content, boxes), client.predict(content, boxes))
        if wrong:
            raise ServiceError(f"golden picture {number}: the endpoint answers otherwise: {'; '.join(wrong)}")
    logger.info("%d golden answers agree", len(golden))


def write_report(report: Path, state: Path, *, model: str, version: str) -> Deployment:
    """Write and return what runs now."""
    router, settings = running.router(state), parse_settings(read_json(state / SETTINGS_FILE))
    deployment = Deployment(
        url=local_address(settings.host, settings.port),
        model=model,
        version=version,
        pid=router.pid if router else None,
        key_file=str(state / TOKEN_FILE),
    )
    write_json(report, to_json(deployment))
    return deployment


def _ready(url: str) -> bool:
    try:
        return open_session(url).get(f"{url}/ping", timeout=5).status_code == 200
    except requests.RequestException:
        return False
