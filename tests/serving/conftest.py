"""Untrained weights in an archive, made pictures, and one running endpoint for all tests that need it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from model.config import Config
from model.net.multitask import build_net
from model.schema import Box, Deployment
from model.serving import packaged, server
from model.serving.archive import package
from model.serving.client import EndpointClient
from model.serving.golden import golden_pictures
from model.serving.predictor import Predictor
from model.storage import read_json
from model.weights import describe, save_weights
from tests.pictures import png_header


@pytest.fixture(scope="session")
def weights(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    net = build_net(config.train.net, None, mean_shape_K2=shape, seed=0)
    points = tuple((float(x), float(y)) for x, y in shape)
    save_weights(
        folder, net.state_dict(), describe(config.run, mean_shape=points, data_digest="d" * 64, restricted=False)
    )
    return folder


@pytest.fixture(scope="session")
def predictor(weights: Path) -> Predictor:
    return Predictor(weights)


@pytest.fixture(scope="session")
def mar(config: Config, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(config.package, weights=weights, out=tmp_path_factory.mktemp("mar"), version="7")


@pytest.fixture(scope="session")
def picture() -> tuple[bytes, list[Box]]:
    """A made picture and the box of its head."""
    return golden_pictures(1)[0]


@pytest.fixture(scope="session")
def endpoint(config: Config, mar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The real server; it is ended with the session."""
    state = tmp_path_factory.mktemp("serve")
    deploy = config.deploy.model_copy(update={"startup_s": 180, "golden": 2})
    yield server.start(deploy, archive=mar, state=state, report=state / "deployment.json")
    server.stop(None, state=state)


def processes_of(endpoint: Deployment) -> list[int]:
    """Router and workers, by their numbers."""
    state = read_json(Path(str(endpoint.key_file)).parent / "state.json")
    children = psutil.Process(state["servers"][0]["process"][0]).children(recursive=True)
    workers = [child for child in children if any("model_service_worker" in part for part in child.cmdline())]
    return sorted([state["router"][0], *(worker.pid for worker in workers)])


@pytest.fixture(scope="session")
def token(endpoint: Deployment) -> str:
    return Path(endpoint.key_file).read_text().strip()


@pytest.fixture(scope="session")
def client(endpoint: Deployment, token: str) -> EndpointClient:
    return EndpointClient(endpoint.url, token=token)


@pytest.fixture
def answers_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the archive should answer lies a pixel beside what its server answers."""
    unpacked = packaged.unpacked

    @contextmanager
    def shifted(archive: Path) -> Iterator[Predictor]:
        with unpacked(archive) as predictor:
            predict = predictor.predict

            def shift(*given: Any) -> Any:
                answer = predict(*given)
                for face in answer["faces"]:
                    face["landmarks"] = [[x + 1, y] for x, y in face["landmarks"]]
                return answer

            monkeypatch.setattr(predictor, "predict", shift)
            yield predictor

    monkeypatch.setattr(packaged, "unpacked", shifted)


@pytest.fixture(scope="session")
def bad_bodies(picture: tuple[bytes, list[Box]]) -> dict[str, tuple[str, bytes]]:
    """T37: content type and body of requests that cannot be answered, by name."""
    content, _ = picture
    kind = "application/json"
    return {
        "empty": ("image/png", b""),
        "text": ("text/plain", b"hello"),
        "truncated": ("image/png", content[: len(content) // 2]),
        "header bomb": ("image/png", png_header(20_000, 20_000)),
        "svg": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/x"/></svg>'),
        "eps": ("application/postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"),
        "gif and script": ("image/gif", b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)"),
        "base64 garbage": (kind, json.dumps({"instances": [{"image": "!!!"}]}).encode()),
        "not json": (kind, b'{"instances": ['),
        "wrong json": (kind, b'{"pictures": 3}'),
        "a list": (kind, b"[1, 2]"),
        "no instances": (kind, b'{"instances": []}'),
        "nan": (kind, b'{"instances": [{"image": "", "boxes": [[NaN, 0, 1, 1]]}]}'),
        "huge number": (kind, b'{"instances": [{"image": "", "boxes": [[1e999, 0, 1, 1]]}]}'),
        "box of no extent": (kind, b'{"instances": [{"image": "", "boxes": [[5, 5, 5, 9]]}]}'),
        "nested": (kind, b"[" * 100_000 + b"]" * 100_000),
        "nested inside": (kind, b'{"instances": [{"image": "", "boxes": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"),
        "not unicode": (kind, b"\xff\xfe\xfa"),
        "multipart without boundary": ("multipart/form-data", b"x"),
        "multipart cut off": ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\nabc"),
    }


def multipart(parts: list[bytes], boundary: str = "frontier") -> tuple[str, bytes]:
    """Content type and body with all parts under one name."""
    head = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + head + part + b"\r\n" for part in parts)
    return f"multipart/form-data; boundary={boundary}", body + b"--" + boundary.encode() + b"--\r\n"


@pytest.fixture(scope="session")
def as_multipart() -> Any:
    return multipart
