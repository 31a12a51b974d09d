"""The second server: the same answers by another protocol, in this process and as a process of its own."""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
import uvicorn

from model.errors import ServiceError
from model.schema import EXPRESSIONS, Box, Deployment
from model.serving.golden import differences, golden_pictures
from model.serving.predictor import Predictor
from model.serving.v2.app import Limits, V2App
from model.serving.v2.serve import _serve

LIMITS = Limits(max_body_bytes=1 << 20, max_in_flight=2, max_pictures=4, retry_after_s=3)
URL = "/v2/models/residual-mtl"
KEY = {"Authorization": "Bearer secret"}

Picture = tuple[bytes, list[Box]]


def body(pictures: list[Picture], **more: Any) -> dict[str, Any]:
    """A request about pictures with a box each."""
    number = len(pictures)
    data = [base64.b64encode(content).decode() for content, _ in pictures]
    boxes = [list(boxes[0]) for _, boxes in pictures]
    return {
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [number], "data": data},
            {"name": "box", "datatype": "FP64", "shape": [number, 4], "data": boxes},
        ],
        **more,
    }


def faces(response: dict[str, Any]) -> list[dict[str, Any]]:
    """An answer a picture, as the predictor gives them, out of the tensors."""
    tensors = {item["name"]: item for item in response["outputs"]}
    rows = {name: np.asarray(item["data"]).reshape(item["shape"]).tolist() for name, item in tensors.items()}
    answers: list[dict[str, Any]] = [{"faces": [], "error": None} for _ in rows["error"]]
    for row, number in enumerate(rows["picture"]):
        face = {name: rows[name][row] for name in ("box", "landmarks", "confidence")}
        answers[number]["faces"].append(
            face | {"expression": dict(zip(EXPRESSIONS, rows["expression"][row], strict=True))}
        )
    return answers


def ask(
    predictor: Predictor, content: Any, *, path: str = f"{URL}/infer", headers: dict[str, str] = KEY
) -> httpx.Response:
    """One request to the application in this process."""

    async def talk() -> httpx.Response:
        app = V2App(predictor, name="residual-mtl", token="secret", limits=LIMITS).app
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            given = content if isinstance(content, bytes) else json.dumps(content).encode()
            return await client.post(path, content=given, headers=headers)

    return asyncio.run(talk())


def test_golden_answers_are_those_of_the_predictor(predictor: Predictor) -> None:
    """T31."""
    pictures = golden_pictures(4)
    answer = ask(predictor, body(pictures, id="seven"))
    assert answer.status_code == 200
    response = answer.json()
    assert (response["id"], response["model_version"]) == ("seven", predictor.model_version)
    assert response["parameters"]["expression_names"].split(",") == list(EXPRESSIONS)
    expected = [predictor.predict(content, boxes) for content, boxes in pictures]
    given = faces(response)
    assert [differences(left, right) for left, right in zip(expected, given, strict=True)] == [[]] * 4
    assert given[0]["faces"][0]["confidence"] == expected[0]["faces"][0]["confidence"]


def test_a_bad_picture_among_good_ones_carries_its_error(predictor: Predictor, picture: Picture) -> None:
    """T38."""
    answer = ask(predictor, body([picture, (b"hello", picture[1]), picture])).json()
    tensors = {item["name"]: item for item in answer["outputs"]}
    assert tensors["picture"]["data"] == [0, 2]
    good, bad, also_good = tensors["error"]["data"]
    assert (good, also_good) == ("", "")
    assert bad.startswith("not_an_image: ")


def test_only_the_outputs_that_were_asked_for_are_sent(predictor: Predictor, picture: Picture) -> None:
    answer = ask(predictor, body([picture], outputs=[{"name": "expression"}, {"name": "box"}])).json()
    assert [item["name"] for item in answer["outputs"]] == ["expression", "box"]
    assert answer["outputs"][0]["shape"] == [1, 7]


def change(request: dict[str, Any], number: int, **values: Any) -> dict[str, Any]:
    return request | {
        "inputs": [item | values if place == number else item for place, item in enumerate(request["inputs"])]
    }


def test_what_breaks_the_protocol_is_refused_with_what_is_needed(predictor: Predictor, picture: Picture) -> None:
    """T37."""
    whole = body([picture])
    wrong = {
        "inputs": b"{}",
        "body": b"{",
        "inputs.0.shape": change(whole, 0, shape=["1"]),
        "image: shape": change(whole, 0, shape=[2]),
        "image: need datatype": change(whole, 0, datatype="FP32"),
        "image: 5 pictures": body([picture] * 5),
        "image: not base64": change(whole, 0, data=["!!!"]),
        "box: need datatype": change(whole, 1, shape=[4]),
        "box: ": change(whole, 1, data=[5.0, 5.0, 5.0, 9.0]),
        "inputs: need `image`": change(whole, 0, name="picture"),
        "outputs.0.name": whole | {"outputs": [{"name": "mood"}]},
        "not_an_image": body([(b"hello", picture[1])]),
    }
    for message, content in wrong.items():
        answer = ask(predictor, content)
        assert answer.status_code == 400, message
        assert message in answer.json()["error"]


def test_nested_and_non_finite_numbers_are_refused_in_time(predictor: Predictor, picture: Picture) -> None:
    nested = b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert ask(predictor, nested).status_code == 400
    infinite = json.dumps(body([picture])).encode().replace(b'"data": [[', b'"data": [[NaN, ')
    assert ask(predictor, infinite).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}])
def test_without_the_token_nothing_is_read(predictor: Predictor, headers: dict[str, str]) -> None:
    """T44."""
    answer = ask(predictor, b"{}", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("unauthorized: ")


def test_a_large_body_is_refused(predictor: Predictor) -> None:
    assert ask(predictor, b" " * (LIMITS.max_body_bytes + 1)).status_code == 413


def test_another_model_or_version_is_not_there(predictor: Predictor) -> None:
    for path in ("/v2/models/other/infer", f"{URL}/versions/none/infer", "/predictions/residual-mtl"):
        assert ask(predictor, b"{}", path=path).status_code == 404


@pytest.fixture
def running(root: Path, mar: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from model.cli import main; main()"]
    command += ["deploy", "--foreground", "--protocol", "v2", "--json", "--weights", str(mar)]
    environment = os.environ | {"RMTL_ENDPOINT_TOKEN": "of-my-own"}
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def test_a_server_that_cannot_listen_is_a_service_error(predictor: Predictor) -> None:
    """The port is taken while the weights are loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        app = V2App(predictor, name="residual-mtl", token="t", limits=LIMITS).app
        web = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
        running = Deployment(f"http://127.0.0.1:{port}", "residual-mtl", "7", None, None)
        with pytest.raises(ServiceError, match="did not start"):
            asyncio.run(_serve(web, running, lambda _: None))


@pytest.mark.service
def test_the_server_tells_what_it_has_answers_and_ends_with_0(running, predictor: Predictor) -> None:
    assert running.stdout is not None
    deployment = json.loads(running.stdout.readline())
    base = deployment["url"]
    assert requests.get(f"{base}/v2/health/ready", timeout=5).status_code == 200
    about = requests.get(f"{base}{URL}/versions/7", timeout=5).json()
    assert about["versions"] == ["7"]
    assert {item["name"]: item["shape"] for item in about["outputs"]}["landmarks"] == [-1, 68, 2]
    content, boxes = golden_pictures(1)[0]
    headers = {"Authorization": "Bearer of-my-own"}
    answer = requests.post(f"{base}{URL}/infer", json=body([(content, boxes)]), headers=headers, timeout=30)
    assert answer.headers["X-Model-Version"] == "7"
    assert differences(predictor.predict(content, boxes), faces(answer.json())[0]) == []
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    assert not Path(deployment["key_file"]).parent.exists()
