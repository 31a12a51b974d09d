"""What a session sends, and where."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from model.errors import ConfigError
from model.serving.session import local_address, open_session
from model.serving.tokens import asked_token, write_tokens
from tests.listener import listener


@pytest.fixture
def heads() -> Iterator[tuple[str, list[str]]]:
    """An address that answers one request, and what it was sent."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                seen.append(connection.recv(65536).decode())
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", seen
        thread.join(5)


@pytest.mark.parametrize("token", ["secret", None])
def test_a_netrc_entry_is_never_sent(heads, token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T44: neither beside the token nor in its place."""
    (tmp_path / "netrc").write_text("default login me password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    url, seen = heads
    session = open_session(url, token)
    session.trust_env = True
    session.get(f"{url}/ping", timeout=5)
    sent = [line for line in seen[0].splitlines() if line.startswith("Authorization")]
    assert sent == (["Authorization: Bearer secret"] if token else [])


def test_this_machine_is_never_asked_through_a_proxy(heads, monkeypatch: pytest.MonkeyPatch) -> None:
    """T44: a proxy would see the token."""
    url, seen = heads
    with listener() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        open_session(url, "secret").get(f"{url}/ping", timeout=5)
        assert seen
        assert not proxy.was_called
        with pytest.raises(requests.RequestException):
            open_session("http://elsewhere.example").get("http://elsewhere.example/ping", timeout=0.5)
        assert proxy.was_called


def test_a_token_ends_where_its_file_s_line_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", " tok\n")
    assert asked_token() == "tok"
    write_tokens(tmp_path)
    assert (tmp_path / "client_token").read_text() == "tok\n"


@pytest.mark.parametrize("text", ["can\nary", "can ary", "canäry", "can\tary"])
def test_a_token_that_no_head_can_carry_is_refused_and_not_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", text)
    with pytest.raises(ConfigError, match="RMTL_ENDPOINT_TOKEN: a token is made of") as caught:
        asked_token()
    assert "can" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8"),
        ("0.0.0.0", "http://127.0.0.1:8"),
        ("10.0.0.7", "http://10.0.0.7:8"),
        ("::", "http://[::1]:8"),
        ("fe80::1", "http://[fe80::1]:8"),
    ],
)
def test_a_server_is_reached_where_it_listens(host: str, address: str) -> None:
    assert local_address(host, 8) == address
