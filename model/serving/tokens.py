"""Tokens of an endpoint's clients and of its management: files that their owner alone may read."""

import os
import secrets
from pathlib import Path

from model.errors import ConfigError
from model.serving import running
from model.serving.settings import MANAGEMENT_TOKEN_FILE, TOKEN_FILE
from model.storage import atomic_path

TOKEN_VARIABLE = "RMTL_ENDPOINT_TOKEN"


def write_tokens(state: Path) -> None:
    """Write the client's token: that asked for, else the one that clients of a running router know, else a new one.

    The token of management is a new one in any case.

    Raises:
        ConfigError: the one asked for cannot be one.
    """
    write_management_token(state)
    path, asked = state / TOKEN_FILE, asked_token()
    if asked or not path.is_file() or not running.router(state):
        write_token(state, asked or secrets.token_urlsafe(24))


def asked_token() -> str:
    """The client's token that the environment asks for; empty where it asks for none.

    Raises:
        ConfigError: a head cannot carry it.
    """
    return _clean(os.environ.get(TOKEN_VARIABLE, ""))


def write_token(state: Path, token: str) -> None:
    """Write the client's token."""
    _write_secret(state / TOKEN_FILE, token)


def write_management_token(state: Path) -> None:
    """Write a new token that opens the router's management to who may read the folder, and to no client."""
    _write_secret(state / MANAGEMENT_TOKEN_FILE, secrets.token_urlsafe(24))


def _write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text + "\n")


def _clean(text: str) -> str:
    """The token without white space around it, which files and secrets often end with; what is wrong is not shown."""
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{TOKEN_VARIABLE}: a token is made of printable ASCII characters without spaces")
    return token
