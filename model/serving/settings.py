"""What a router goes by: files that `server` writes into the folder of an endpoint."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.storage import read_json

SETTINGS_FILE = "router.json"
TOKEN_FILE = "client_token"
ACTIVE_FILE = "router.active"
UPSTREAM_KEY_FILE = "key_file.json"


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

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `router.json`."""
        return asdict(self)


def read_settings(folder: Path) -> tuple[RouterSettings, dict[str, str]]:
    """Settings and both tokens from the files of `server`, the latter as arguments of a router."""
    settings = RouterSettings(**read_json(folder / SETTINGS_FILE))
    token = (folder / TOKEN_FILE).read_text().strip()
    upstream_token = read_json(folder / settings.server / UPSTREAM_KEY_FILE)["inference"]["key"]
    return settings, {"token": token, "upstream_token": upstream_token}
