"""Endpoints that commands ask: the running deployment of this folder, or one at a given address."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from model.cli import workspace
from model.errors import StorageError
from model.schema import Deployment
from model.serving.torchserve import LOCALHOST
from model.storage import read_json

if TYPE_CHECKING:
    from model.serving.client import EndpointClient

PATIENCE = 5
"""How often an overloaded endpoint is asked again."""


def read_deployment() -> Deployment | None:
    """What `rmtl deploy` left in this folder; None where there is nothing.

    Raises:
        StorageError: the file is something else.
    """
    if not workspace.DEPLOYMENT.is_file():
        return None
    try:
        return Deployment(**read_json(workspace.DEPLOYMENT))
    except TypeError as error:
        raise StorageError(f"{workspace.DEPLOYMENT}: no deployment: {error}; `rmtl deploy`, or delete it") from error


def connect(url: str, *, model: str = "residual-mtl") -> "EndpointClient":
    """A client with the token of the environment, else with that of this folder's deployment if that is asked."""
    from model.serving.client import EndpointClient

    return EndpointClient(url, model=model, token=_token(url), again=PATIENCE)


def _token(url: str) -> str | None:
    from model.serving.tokens import asked_token

    token, deployment = asked_token(), read_deployment()
    if token or deployment is None or deployment.key_file is None or _origin(url) != _origin(deployment.url):
        return token or None
    try:
        return Path(deployment.key_file).read_text().strip()
    except OSError:
        # Gone with its endpoint, or another user's: an endpoint that answers all the same will say that it wants one.
        return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.replace("localhost", LOCALHOST)
