"""One TorchServe in a folder of its own; while an endpoint is updated, or a challenger tried, there are two."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from model.config import DeployConfig
from model.errors import ServiceError, StorageError
from model.serving import processes, torchserve
from model.serving.client import EndpointClient
from model.serving.session import open_session
from model.serving.torchserve import LOCALHOST, free_ports
from model.storage import read_json

KEY_FILE = "key_file.json"
"""Written by TorchServe itself."""

POLL_S = 0.1


@dataclass(frozen=True)
class Slot:
    """A TorchServe that was started: its folder's name within the endpoint's, its address, its process, its scratch."""

    name: str
    upstream: str
    process: processes.Identity
    scratch: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the endpoint's state file."""
        return asdict(self)

    def find(self) -> psutil.Process | None:
        """Its process, if it still runs."""
        return processes.find(*self.process)


def from_json(values: dict[str, Any]) -> Slot:
    """A slot of the state file."""
    pid, started = values["process"]
    return Slot(values["name"], values["upstream"], (pid, started), values["scratch"])


def open_slot(config: DeployConfig, archive: Path, state: Path, *, console: bool) -> Slot:
    """Start TorchServe with one archive in a new folder of `state`; it is not ready yet.

    Raises:
        FaceError: no Java.
    """
    # Names are never used again, so that nobody takes a new server's key for an old one's.
    name = f"server-{secrets.token_hex(4)}"
    folder, ports = state / name, torchserve.Ports(*free_ports(len(torchserve.Ports._fields)))
    store = folder / "store"
    store.mkdir(parents=True)
    shutil.copyfile(archive, store / archive.name)
    text = torchserve.configuration(ports, store=store, archive=archive.name, max_body_bytes=config.max_body_mb << 20)
    (folder / "config.properties").write_text(text)
    scratch = Path(tempfile.mkdtemp(prefix="rmtl-", dir="/tmp"))
    process = torchserve.launch(folder, store=store, scratch=scratch, console=console)
    upstream = f"http://{LOCALHOST}:{ports.inference}"
    return Slot(name, upstream, processes.identity(process.pid), str(scratch))


def wait_ready(slot: Slot, state: Path, deadline: float) -> None:
    """Wait until the model of a slot is loaded.

    Raises:
        ServiceError: the process ended, or it took longer than until `deadline`, in seconds of the monotonic clock.
    """
    while not _is_ready(slot, state):
        if slot.find() is None:
            raise ServiceError(f"TorchServe ended while starting; see the logs in {state / slot.name}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"the model was not ready within `deploy.startup_s`; see the logs in {state / slot.name}"
            )
        time.sleep(POLL_S)


def direct_client(slot: Slot, state: Path, model: str) -> EndpointClient:
    """A client that asks a slot itself, past the router."""
    return EndpointClient(slot.upstream, model=model, token=_key(slot, state), inner=True)


def close_slot(slot: Slot) -> bool:
    """End the process and remove its scratch folder; whether it still ran. The folder with its logs stays."""
    found = slot.find()
    ended = processes.terminate([found] if found else [])
    shutil.rmtree(slot.scratch, ignore_errors=True)
    return ended


def sweep(state: Path, *, keep: Collection[str] = ()) -> None:
    """Remove folders of slots that have ended, all but those of these names."""
    for folder in state.glob("server-*"):
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def _is_ready(slot: Slot, state: Path) -> bool:
    if not (state / slot.name / KEY_FILE).is_file():
        return False
    try:
        answer = open_session(slot.upstream, _key(slot, state)).get(f"{slot.upstream}/ping", timeout=5)
        return answer.status_code == 200 and answer.json().get("status") == "Healthy"
    except (requests.RequestException, StorageError, ValueError):
        return False


def _key(slot: Slot, state: Path) -> str:
    return str(read_json(state / slot.name / KEY_FILE)["inference"]["key"])
