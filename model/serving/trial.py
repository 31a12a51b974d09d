"""A challenger beside the running model: begun, looked at, ended; the router does the rest (`model.serving.canary`)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from model.config import DeployConfig
from model.errors import ConfigError, ServiceError
from model.serving import packaged, running, server, tokens
from model.serving.golden import golden_pictures
from model.serving.server import Golden
from model.serving.session import local_address, open_session
from model.serving.settings import (
    CANARY_PATH,
    MANAGEMENT_PATH,
    MANAGEMENT_TOKEN_FILE,
    SETTINGS_FILE,
    CanarySettings,
)
from model.serving.slot import close_slot, direct_client, sweep
from model.serving.switch import back_out, check_same, noting_refusal, running_settings, switch
from model.storage import write_json

REPORT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Trial:
    """A canary that was begun: the endpoint's address, the challenger's version, and the share that it answers."""

    url: str
    version: str
    share: float


def begin(config: DeployConfig, *, archive: Path, state: Path, share: float, golden: Golden | None = None) -> Trial:
    """Let a second TorchServe with this archive answer a share of the requests, once it gives the golden answers.

    It takes the place of a challenger that runs already, and counting begins anew.

    Args:
        config, archive, state, golden: as for `server.start`.
        share: of the requests, above 0 and below 1.

    Raises:
        ConfigError: another share, port or name of the model.
        CheckpointError: the archive is unsafe or unusable.
        ServiceError: nothing runs, no readiness in time, other answers, or an update is under way.
        FaceError: no Java.
    """
    check(share, state)
    with noting_refusal(state), running.alone(state), packaged.unpacked(archive) as predictor:
        settings, former = running_settings(state), running.slots(state)
        check_same(settings, archive.stem)
        try:
            slot = server.come_up(config, archive, state)
            pictures = golden or golden_pictures(config.golden)
            server.compare(direct_client(slot, state, settings.model), predictor, pictures)
            canary = CanarySettings(slot.name, slot.upstream, share, config.canary)
            write_json(state / SETTINGS_FILE, replace(settings, canary=canary).to_json())
            tokens.write_management_token(state)
            switch(state)
        except BaseException:
            back_out(state, settings, former)
            raise
        _keep(state, [settings.server, slot.name])
        return Trial(local_address(settings.host, settings.port), predictor.model_version, share)


def check(share: float, state: Path) -> None:
    """See that a canary can be begun here.

    Raises:
        ConfigError: another share.
        ServiceError: nothing runs.
    """
    if not 0 < share < 1:
        raise ConfigError(f"--canary {share}: need a share of the requests above 0 and below 1, or 0 to end a canary")
    if not running.is_whole(state):
        raise ServiceError(f"{state}: no endpoint runs that a challenger could stand beside; `rmtl deploy` first")


def end(state: Path) -> bool:
    """Let the champion answer all requests and end the challenger's processes; whether there was a challenger.

    Raises:
        ServiceError: nothing runs, an update is under way, or the router does not follow; then all servers run on.
    """
    running_settings(state)
    with noting_refusal(state), running.alone(state):
        settings = running_settings(state)
        had = any(slot.name != settings.server for slot in running.slots(state))
        # After an update that was killed, the router may ask another server than the files say, without a canary.
        if settings.canary or had:
            write_json(state / SETTINGS_FILE, replace(settings, canary=None).to_json())
            switch(state)
        _keep(state, [settings.server])
    return had


def report(state: Path) -> dict[str, Any]:
    """What the running router counted, as `Canary.report` gives it; its `state` is `none` without a canary.

    Raises:
        ServiceError: no endpoint runs from the folder, or it does not answer.
    """
    settings, token = running_settings(state), state / MANAGEMENT_TOKEN_FILE
    if not token.is_file():
        return {"state": "none"}
    url = f"{local_address(settings.host, settings.port)}{MANAGEMENT_PATH}{CANARY_PATH}"
    try:
        answer = open_session(url, token.read_text().strip()).get(url, timeout=REPORT_TIMEOUT_S)
        answer.raise_for_status()
        return dict(answer.json())
    except (requests.RequestException, ValueError) as error:
        raise ServiceError(f"{url}: no report: {error}; is the endpoint running? `rmtl deploy`") from error


def _keep(state: Path, names: list[str]) -> None:
    """End all servers of the folder but these."""
    kept = [slot for slot in running.slots(state) if slot.name in names]
    for slot in running.slots(state):
        if slot not in kept:
            close_slot(slot)
    running.note_slots(state, kept)
    sweep(state, keep=names)
