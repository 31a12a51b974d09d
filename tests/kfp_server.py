"""A strict stand-in for the Kubeflow Pipelines API server (2.17, v2beta1), on a free port of 127.0.0.1.

`tests.kfp_rules` has the rules for packages and arguments, `tests.kfp_requests` those for bodies, lists and uploads,
`tests.kfp_api` keeps the objects; they name the server's files that they are modelled on. Here are HTTP and faults.
"""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlparse

from tests.kfp_api import API, KfpApi
from tests.kfp_requests import Request, refusal

TOKEN = "canary-token-never-to-be-written-anywhere"
LOGIN = b"<!doctype html><title>Log in to your account</title>"


@dataclass
class Faults:
    """What goes wrong next; lists and counters go down with each request that they spoil.

    Attributes:
        statuses: answered in the server's shape of errors.
        drops: connections closed without an answer.
        delay_s: waited before each request is looked at.
        late: seconds between deed and answer, by path below the API.
        nonsense: answered with 200 instead of JSON.
        login: `redirect` to a page for people, as a proxy for authentication does, or that `page` at once.
    """

    statuses: list[int] = field(default_factory=list)
    drops: int = 0
    delay_s: float = 0.0
    late: dict[str, float] = field(default_factory=dict)
    nonsense: bytes | None = None
    login: str = ""


class KfpServer(KfpApi):
    """`start` and `stop` may be called in turn; the port stays."""

    def __init__(
        self, *, token: str | None = None, multi_user: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(token=token, multi_user=multi_user)
        self.faults = Faults()
        self.tls = tls
        self.port = 0
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the former port if there was one."""
        handler = type("Handler", (_Handler,), {"kfp": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._http.daemon_threads = True
        if self.tls:
            self._http.socket = self.tls.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None


@contextmanager
def run_kfp(
    *, token: str | None = None, multi_user: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[KfpServer]:
    """A server until the block ends."""
    server = KfpServer(token=token, multi_user=multi_user, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    kfp: ClassVar[KfpServer]

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests look at what the client says."""

    def _serve(self) -> None:
        parts = urlparse(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        faults = self.kfp.faults
        time.sleep(faults.delay_s)
        if faults.drops > 0:
            faults.drops -= 1
        elif faults.login == "redirect":
            self._send(302, b"", "text/html", {"Location": f"{self.kfp.url}/dex/auth"})
        elif faults.login:
            self._send(200, LOGIN, "text/html")
        elif faults.nonsense is not None:
            self._send(200, faults.nonsense, "application/json")
        elif faults.statuses:
            status = faults.statuses.pop(0)
            self._send(status, json.dumps(refusal(status, "as the test asked", request)).encode(), "application/json")
        else:
            status, answer = self.kfp.answer(request)
            time.sleep(faults.late.get(request.path.removeprefix(API), 0))
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self._send(status, content, "text/plain" if isinstance(answer, str) else "application/json")

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # the client may have given up
            self.end_headers()
            self.wfile.write(content)
