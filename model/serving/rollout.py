"""Another model in the place of the running one, without a failed request."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model.config import DeployConfig
from model.errors import ConfigError, ServiceError
from model.schema import Deployment
from model.serving import running, server
from model.serving.golden import golden_pictures
from model.serving.server import Golden
from model.serving.settings import ACTIVE_FILE, SETTINGS_FILE, RouterSettings
from model.serving.slot import POLL_S, Slot, close_slot, direct_client, sweep
from model.serving.torchserve import asked_port
from model.storage import write_json

SWITCH_S = 10.0
"""Seconds that the router gets to read its files anew."""


def replace(
    config: DeployConfig, *, archive: Path, state: Path, report: Path, golden: Golden | None = None
) -> Deployment:
    """Serve another archive in the place of the running one, without a failed request; starts where nothing runs.

    A second TorchServe comes up beside the first and has to give the golden answers before it gets a request. Then the
    router sends it all that comes, and the first one ends once it has answered what it was asked. Port, router and,
    where RMTL_ENDPOINT_TOKEN says no other, the client's token stay. For that time the model is in memory twice.

    Args:
        config, archive, state, report, golden: as for `start`.

    Raises:
        ConfigError: another port or another name of the model than the running one.
        CheckpointError: the archive is unsafe or unusable; the old version goes on.
        ServiceError: no readiness in time, other answers, or another update is under way; the old version goes on.
        FaceError: no Java.
    """
    if not running.is_whole(state):
        running.end(state)
        return server.start(config, archive=archive, state=state, report=report, golden=golden)
    with _alone(state), server.unpacked(archive) as predictor:
        settings, former, model = _running(state), running.slots(state), archive.stem
        if settings.model != model or (os.environ.get("RMTL_PORT") and asked_port() != settings.port):
            raise ConfigError(
                f"the endpoint serves {settings.model} on port {settings.port}, asked is {model} on RMTL_PORT="
                f"{os.environ.get('RMTL_PORT', '')}; `rmtl deploy --stop`, then deploy again"
            )
        try:
            slot = server.come_up(config, archive, state)
            pictures = golden or golden_pictures(config.golden)
            server.compare(direct_client(slot, state, model), predictor, pictures)
            server.write_settings(config, state, slot, model=model, address=(settings.host, settings.port))
            server.write_token(state)
            _switch(state)
        except BaseException:
            _back_out(state, settings, former)
            raise
        for old in former:
            close_slot(old)
        running.note_slots(state, [slot])
        sweep(state, keep=slot.name)
        version = predictor.model_version
        return server.write_report(report, state, model=model, version=version, port=settings.port)


def _running(state: Path) -> RouterSettings:
    settings = running.settings_of(state)
    if settings is None:
        raise ServiceError(f"{state}: nothing runs from this folder any more; `rmtl deploy`")
    return settings


def _switch(state: Path) -> None:
    """Make the router follow its files, and wait until the former server has answered all it was asked."""
    (state / ACTIVE_FILE).unlink(missing_ok=True)
    deadline = time.monotonic() + server.UPSTREAM_TIMEOUT_S + SWITCH_S
    if router := running.router(state):
        router.send_signal(signal.SIGHUP)
    while not (state / ACTIVE_FILE).is_file():
        if time.monotonic() > deadline or running.router(state) is None:
            raise ServiceError(f"the router did not take over the new server; see {state / 'router.log'}")
        time.sleep(POLL_S)


def _back_out(state: Path, settings: RouterSettings, former: list[Slot]) -> None:
    """Leave all as it was before an update, the router first, so that it never asks a server that is gone."""
    if _running(state) != settings:
        write_json(state / SETTINGS_FILE, settings.to_json())
        with suppress(ServiceError):
            _switch(state)
    for slot in running.slots(state):
        if slot not in former:
            close_slot(slot)
    running.note_slots(state, former)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One update at a time."""
    with (state / "update.lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ServiceError(f"{state}: another update of this endpoint is under way; wait for it") from error
        yield
