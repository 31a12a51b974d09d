"""The running router made to ask other servers, and back to what was where it fails."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from model.errors import CheckpointError, ConfigError, ServiceError
from model.serving import running, server
from model.serving.settings import REFUSED_FILE, SETTINGS_FILE, RouterSettings, ask_switch, is_switched
from model.serving.slot import POLL_S, Slot, close_slot
from model.serving.torchserve import asked_port
from model.storage import write_json

SWITCH_S = 10.0
"""Seconds that the router gets to read its files anew."""


@contextmanager
def noting_refusal(state: Path) -> Iterator[None]:
    """Note a change of a running endpoint that fails for its model or servers, for the router to tell of.

    The next change that succeeds takes the note away.
    """
    refused = state / REFUSED_FILE
    try:
        yield
    except (CheckpointError, ServiceError) as error:
        if running.is_whole(state):
            write_json(refused, {"reason": str(error)})
        raise
    refused.unlink(missing_ok=True)


def running_settings(state: Path) -> RouterSettings:
    """What the router goes by.

    Raises:
        ServiceError: none runs.
    """
    settings = running.settings_of(state)
    if settings is None:
        raise ServiceError(f"{state}: nothing runs from this folder any more; `rmtl deploy`")
    return settings


def check_same(settings: RouterSettings, model: str) -> None:
    """See that the running endpoint may serve this model, under the port that is asked for.

    Raises:
        ConfigError: another name of the model, or another port.
    """
    if settings.model != model or (os.environ.get("RMTL_PORT") and asked_port() != settings.port):
        raise ConfigError(
            f"the endpoint serves {settings.model} on port {settings.port}, asked is {model} on RMTL_PORT="
            f"{os.environ.get('RMTL_PORT', '')}; `rmtl deploy --stop`, then deploy again"
        )


def switch(state: Path) -> None:
    """Make the router follow its files, and wait until the former servers have answered all they were asked.

    Raises:
        ServiceError: it does not, or has ended.
    """
    mark = ask_switch(state)
    deadline = time.monotonic() + server.UPSTREAM_TIMEOUT_S + SWITCH_S
    if router := running.router(state):
        router.send_signal(signal.SIGHUP)
    while not is_switched(state, mark):
        if time.monotonic() > deadline or running.router(state) is None:
            raise ServiceError(f"the router did not take over the new server; see {state / 'router.log'}")
        time.sleep(POLL_S)


def back_out(state: Path, settings: RouterSettings, former: list[Slot]) -> None:
    """Leave all as it was before a change, the router first, so that it never asks a server that is gone.

    A canary that the router has left meanwhile gets no requests again: its comparison is lost.
    """
    if running_settings(state) != settings:
        write_json(state / SETTINGS_FILE, replace(settings, canary=None).to_json())
        with suppress(ServiceError):
            switch(state)
    for slot in running.slots(state):
        if slot not in former:
            close_slot(slot)
    running.note_slots(state, former)
