"""A proxy before an S3 server that counts requests and plays faults: 503 SlowDown, slow answers, acts in mid-run."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Request(NamedTuple):
    """One request that came: its number from 0, method and path."""

    number: int
    method: str
    path: str


class Proxy:
    """`refuse` says which requests get 503 and never reach the server; each answer waits `delay_s` seconds."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.delay_s = 0.0
        self.refuse: Callable[[Request], bool] = lambda _: False
        self.before: Callable[[Request], None] = lambda _: None
        self.seen: list[Request] = []
        self._lock = threading.Lock()
        self._forwarding = 0
        self._idle = threading.Condition()

    def count(self, method: str) -> int:
        """How many requests of a method came."""
        return sum(request.method == method for request in self.seen)

    def note(self, method: str, path: str) -> Request:
        """Give a request its number."""
        with self._lock:
            self.seen.append(Request(len(self.seen), method, path))
            return self.seen[-1]

    @contextmanager
    def forwarding(self) -> Iterator[None]:
        """One request on its way to the server and back."""
        with self._idle:
            self._forwarding += 1
        try:
            yield
        finally:
            with self._idle:
                self._forwarding -= 1
                self._idle.notify_all()

    @contextmanager
    def held(self) -> Iterator[None]:
        """For an act of `before` between two requests: those on their way come back first, others wait for its end."""
        with self._idle:
            self._idle.wait_for(lambda: self._forwarding == 0)
            yield


@contextmanager
def run_proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy on a free port of 127.0.0.1 for as long as the block lasts."""
    proxy = Proxy(upstream)
    with serving(_Server(("127.0.0.1", 0), _handler(proxy))) as proxy.url:
        yield proxy


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server that answers in a thread for as long as the block lasts."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that was killed, or a server that is gone, is part of the play."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = proxy.note(self.command, self.path)
            proxy.before(request)
            time.sleep(proxy.delay_s)
            if proxy.refuse(request):
                self.answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
                return
            # The client's own Host header goes on: it is part of what the client signed.
            upstream = http.client.HTTPConnection(urlsplit(proxy.upstream).netloc, timeout=60)
            with closing(upstream), proxy.forwarding():
                upstream.request(self.command, self.path, body, dict(self.headers.items()))
                answer = upstream.getresponse()
                content = answer.read()
            self.answer(answer.status, answer.getheaders(), content)

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    return Handler
