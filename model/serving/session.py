"""HTTP sessions that ask an endpoint: with its token alone, and past any proxy where it is on this machine."""

from urllib.parse import urlsplit

import requests
from requests import PreparedRequest
from requests.auth import AuthBase

_HERE = ("127.0.0.1", "localhost", "::1")


class Bearer(AuthBase):
    """Sends a token, and keeps `~/.netrc` from sending what it knows of the host; without a token nothing is sent."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """The request with the token in its head."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def open_session(url: str, token: str | None = None) -> requests.Session:
    """A session for the endpoint at `url`."""
    session = requests.Session()
    session.auth = Bearer(token)
    session.trust_env = urlsplit(url).hostname not in _HERE
    return session


def local_address(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`."""
    reached = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
