"""What runs from the folder of an endpoint: a router, and the TorchServe behind it, or two of these."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from model.errors import ServiceError
from model.serving import processes
from model.serving.settings import SETTINGS_FILE, RouterSettings, parse_settings
from model.serving.slot import Slot, close_slot, from_json
from model.storage import holding, read_json, write_json

STATE_FILE = "state.json"


def router(state: Path) -> psutil.Process | None:
    """The router's process, if it runs."""
    noted = _state(state).get("router")
    return processes.find(*noted) if noted else None


def note_router(state: Path, pid: int) -> None:
    """Keep the number of a router that was started."""
    write_json(state / STATE_FILE, _state(state) | {"router": processes.identity(pid)})


def slots(state: Path) -> list[Slot]:
    """The servers that were started from this folder and not ended from it."""
    return [from_json(values) for values in _state(state).get("servers", [])]


def note_slots(state: Path, kept: list[Slot]) -> None:
    """Keep these as the servers of the folder."""
    write_json(state / STATE_FILE, _state(state) | {"servers": [slot.to_json() for slot in kept]})


def settings_of(state: Path) -> RouterSettings | None:
    """What the router goes by; None where nothing was started from this folder."""
    path = state / SETTINGS_FILE
    return parse_settings(read_json(path)) if (state / STATE_FILE).is_file() and path.is_file() else None


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """One change at a time.

    Raises:
        ServiceError: another one is under way.
    """
    busy = ServiceError(f"{state}: another update of this endpoint is under way; wait for it")
    with holding(state / "update.lock", busy):
        yield


def is_whole(state: Path) -> bool:
    """Whether the router and the TorchServe behind it both run."""
    settings = settings_of(state)
    if settings is None or router(state) is None:
        return False
    return any(slot.name == settings.server and slot.find() for slot in slots(state))


def end(state: Path) -> bool:
    """End all processes, the router first: it answers what is under way while TorchServe still works."""
    if not (state / STATE_FILE).is_file():
        return False
    found = router(state)
    ended = [processes.terminate([found] if found else []), *(close_slot(slot) for slot in slots(state))]
    (state / STATE_FILE).unlink(missing_ok=True)
    return any(ended)


def _state(state: Path) -> dict[str, Any]:
    path = state / STATE_FILE
    return dict(read_json(path)) if path.is_file() else {}
