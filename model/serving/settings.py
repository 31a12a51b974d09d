"""What a router goes by: files that `server` and `trial` write into the folder of an endpoint, and its answer."""

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.config import CanaryConfig
from model.storage import atomic_path, read_json

SETTINGS_FILE = "router.json"
TOKEN_FILE = "client_token"
MANAGEMENT_TOKEN_FILE = "management_token"
ACTIVE_FILE = "router.active"
SWITCH_FILE = "router.switch"
REFUSED_FILE = "refused.json"
UPSTREAM_KEY_FILE = "key_file.json"

MANAGEMENT_PATH = "/management"
CANARY_PATH = "/canary"
"""Below the path of management."""


@dataclass(frozen=True)
class CanarySettings:
    """A challenger beside the champion: its TorchServe, the share of requests it answers, and what it must keep to."""

    server: str
    upstream: str
    share: float
    limits: CanaryConfig


@dataclass(frozen=True)
class RouterSettings:
    """Where the router listens, whom it asks, and its limits; written by `server`, beside the client's token.

    `server` names the folder of the TorchServe that listens at `upstream`; its key lies there.
    """

    host: str
    port: int
    server: str
    upstream: str
    model: str
    max_body_bytes: int
    max_in_flight: int
    retry_after_s: int
    timeout_s: float
    canary: CanarySettings | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `router.json`."""
        values = asdict(self)
        if self.canary is None:
            del values["canary"]  # a router of a version without canaries takes the rest
        else:
            values["canary"]["limits"] = self.canary.limits.model_dump()
        return values


def parse_settings(values: dict[str, Any]) -> RouterSettings:
    """Settings from the values of `router.json`.

    Raises:
        TypeError, KeyError, ValueError: they are not those of this version of the package.
    """
    if not (canary := values.get("canary")):
        return RouterSettings(**values)
    limits = CanaryConfig(**canary["limits"])
    return RouterSettings(**values | {"canary": CanarySettings(**canary | {"limits": limits})})


def read_settings(folder: Path) -> tuple[RouterSettings, dict[str, str]]:
    """Settings and all tokens from the files of `server`, the latter as arguments of a router."""
    settings = parse_settings(read_json(folder / SETTINGS_FILE))
    tokens = {"token": (folder / TOKEN_FILE).read_text().strip(), "upstream_token": _key(folder, settings.server)}
    if (folder / MANAGEMENT_TOKEN_FILE).is_file():
        tokens["management_token"] = (folder / MANAGEMENT_TOKEN_FILE).read_text().strip()
    if settings.canary:
        tokens["canary_token"] = _key(folder, settings.canary.server)
    return settings, tokens


def ask_switch(folder: Path) -> str:
    """Ask a router to follow its files, which stand already; the mark of this request, for `is_switched`."""
    mark = secrets.token_hex(4)
    with atomic_path(folder / SWITCH_FILE) as temporary:
        temporary.write_text(mark)
    (folder / ACTIVE_FILE).unlink(missing_ok=True)
    return mark


def asked_switch(folder: Path) -> str:
    """The mark of the latest request to switch; empty where there was none."""
    path = folder / SWITCH_FILE
    return path.read_text() if path.is_file() else ""


def tell_switched(folder: Path, server: str, mark: str) -> None:
    """Tell that the router asks this server now, and that the former ones are done; not where it was asked anew."""
    if asked_switch(folder) == mark:
        with atomic_path(folder / ACTIVE_FILE) as temporary:
            temporary.write_text(f"{server} {mark}")


def is_switched(folder: Path, mark: str) -> bool:
    """Whether the router has done what was asked with this mark; routers of former versions name the server alone."""
    path = folder / ACTIVE_FILE
    return path.is_file() and path.read_text().split()[1:] in ([mark], [])


def _key(folder: Path, server: str) -> str:
    return str(read_json(folder / server / UPSTREAM_KEY_FILE)["inference"]["key"])
