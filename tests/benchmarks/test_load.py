"""The comparison of servers: its clients count what happened, its requests hold what they say."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load.clients import Target, ask
from benchmarks.load.pictures import cases
from model.data.codec import decode_image
from model.serving.body import read_body
from model.serving.v2.tensors import read_pictures, read_request

KEY = {"Authorization": "Bearer secret"}


class Turnstile(BaseHTTPRequestHandler):
    """Answers every second request, tells the others to come back."""

    protocol_version = "HTTP/1.1"
    turn = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Turnstile.turn += 1
        served = Turnstile.turn % 2 == 1 and self.headers["Authorization"] == KEY["Authorization"]
        self.send_response(200 if served else 503)
        if not served:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Turnstile) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/predictions/x"
        server.shutdown()
        thread.join()


def test_refusals_are_counted_and_not_timed(address: str) -> None:
    seen = ask(Target(address, KEY), b"x", clients=1, seconds=0, least=10)
    assert seen["status"] == {"200": 5, "503": 5}
    assert seen["told_to_come_back"] == 5
    assert 0 < seen["p50_ms"] <= seen["p95_ms"] <= seen["p99_ms"]


def test_many_clients_ask_at_least_as_often_as_told(address: str) -> None:
    seen = ask(Target(address, KEY), b"x", clients=4, seconds=0, least=40)
    assert seen["requests"] == sum(seen["status"].values()) >= 40


def test_a_server_that_is_not_there_gives_failures_and_no_times() -> None:
    seen = ask(Target("http://127.0.0.1:9/x", KEY), b"x", clients=2, seconds=0, least=4)
    assert set(seen["status"]) == {"0"}
    assert seen["requests_per_s"] == 0


def test_both_forms_of_a_request_hold_the_same_pictures() -> None:
    for case in cases():
        own = read_body("application/json", case.own(), max_pictures=8).pictures
        other = read_pictures(read_request(case.v2()), max_pictures=8)
        assert [picture.content for picture in own] == [picture.content for picture in other]
        assert [picture.boxes for picture in own] == [picture.boxes for picture in other]


def test_photographs_have_two_megapixels() -> None:
    large = [case for case in cases() if case.pictures[0][1] is None]
    assert [case.faces for case in large] == [1, 8]
    for case in large:
        height, width = decode_image(case.pictures[0][0], max_pixels=3_000_000).shape[:2]
        assert 1.9e6 < height * width < 2.1e6
