"""The description of the endpoint, and the endpoint against it."""

import random
import re
import socket
import subprocess
import sys
from contextlib import suppress
from typing import get_args

import pytest
import requests
from starlette.routing import Route

from model.serving.openapi import document
from model.serving.page import page_routes
from model.serving.router import Router
from model.serving.schema import STATUS, AnswerList, ErrorCode
from tests.serving.conftest import processes_of
from tests.serving.test_router import SETTINGS

REJECTED = "positive_data_acceptance"
"""Not checked: no schema says that x0 < x1, nor that bytes are a picture; such requests are well formed and refused."""


def test_each_route_is_described_with_its_methods():
    routes = Router(SETTINGS, token="secret", upstream_token="inner").app.routes
    served = {route.path: (route.methods or set()) - {"HEAD"} for route in routes if isinstance(route, Route)}
    described = {path: {method.upper() for method in item} for path, item in document("residual-mtl")["paths"].items()}
    for_people = {route.path for route in page_routes()}
    assert described == {path: methods for path, methods in served.items() if path not in for_people}


def test_each_code_is_told_with_its_status():
    answers = document("residual-mtl")["paths"]["/predictions/residual-mtl"]["post"]["responses"]
    told = {code: int(status) for status, answer in answers.items() for code in STATUS if code in answer["description"]}
    assert told == STATUS
    assert set(STATUS) == set(get_args(ErrorCode))


@pytest.mark.service
def test_the_example_of_the_description_is_answered(endpoint, token):
    described = requests.get(f"{endpoint.url}/openapi.json", timeout=30).json()
    assert described == document("residual-mtl")
    bodies = described["paths"]["/predictions/residual-mtl"]["post"]["requestBody"]["content"]
    headers = {"Authorization": f"Bearer {token}"}
    url, example = f"{endpoint.url}/predictions/residual-mtl", bodies["application/json"]["example"]
    answers = AnswerList.model_validate(requests.post(url, json=example, headers=headers, timeout=30).json())
    assert [answer.error for answer in answers.predictions] == [None, None]
    assert len(answers.predictions[0].faces) == 1


@pytest.mark.service
def test_the_endpoint_does_what_its_description_says(endpoint, token, tmp_path):
    """T39: schemathesis sends about 150 requests of every form, most of them wrong, in five seconds."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{endpoint.url}/openapi.json", "--no-color"]
    command += ["--header", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing"]
    command += ["--generation-deterministic", "--max-examples", "20", "--no-shrink", "--max-response-time", "10"]
    command += ["--continue-on-failure", "--exclude-checks", REJECTED]
    before = processes_of(endpoint)
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 selected" in run.stdout, run.stdout
    assert processes_of(endpoint) == before


@pytest.mark.service
def test_bytes_that_are_hardly_http_are_refused_and_end_nothing(endpoint, token):
    """T39: three hundred spoilt requests, each on a connection of its own."""
    draw, before = random.Random(39), processes_of(endpoint)
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    for _ in range(300):
        sent = spoilt(draw, token)
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            # A server may hang up in the middle of nonsense.
            with suppress(ConnectionError):
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
            answer = received(connection)
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
        assert not answer or (status and int(status[1]) < 500), (sent[:300], answer[:300])
    assert requests.get(f"{endpoint.url}/ping", timeout=30).status_code == 200
    assert processes_of(endpoint) == before


def spoilt(draw, token):
    """A sound request with something wrong in its bytes."""
    path, body = "/predictions/residual-mtl", draw.randbytes(draw.choice([0, 1, 300]))
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {token}", "Content-Type: image/png"]
    length = draw.choice([f"Content-Length: {len(body)}", "Content-Length: -1", "Content-Length: 9" * 9])
    lines.insert(draw.randint(1, 4), draw.choice([length, length, "Transfer-Encoding: chunked", f"X: {'x' * 70_000}"]))
    content = bytearray("\r\n".join([*lines, "", ""]).encode() + body)
    match draw.choice(["flip", "cut", "double", "zeros", "twice"]):
        case "flip":
            for _ in range(draw.randint(1, 20)):
                content[draw.randrange(len(content))] = draw.randrange(256)
        case "cut":
            del content[draw.randrange(len(content)) :]
        case "double":
            content = content[: draw.randrange(len(content))] + content
        case "zeros":
            place = draw.randrange(len(content))
            content[place:place] = bytes(draw.randint(1, 2000))
        case "twice":
            content *= 2
    return bytes(content)


def received(connection):
    """All that a server says until it hangs up."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
