"""The serving image from start to end: healthy, one answer, a clean stop."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from model.serving.archive import package
from model.serving.client import EndpointClient
from model.serving.golden import differences, golden_pictures
from model.serving.predictor import Predictor
from tests.untrained import make_weights

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]

HEALTHY_S = 120
TOKEN = "of-my-own"


@pytest.fixture(scope="module")
def weights(config, tmp_path_factory) -> Path:
    folder = make_weights(config, tmp_path_factory.mktemp("container") / "weights", seed=0)
    folder.chmod(0o755)
    return folder


@contextmanager
def served(engine: docker.DockerClient, image: str, folder: Path) -> Iterator[Container]:
    """A container with the folder at /mnt/models, nothing writable but /tmp, its port on this machine only."""
    container = engine.containers.run(
        image,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        environment={"RMTL_ENDPOINT_TOKEN": TOKEN},
        volumes={str(folder): {"bind": "/mnt/models", "mode": "ro"}},
        ports={"8080/tcp": ("127.0.0.1", None)},
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def wait_healthy(container: Container) -> str:
    """The address of the endpoint, once the engine calls the container healthy."""
    deadline = time.monotonic() + HEALTHY_S
    while container.attrs["State"].get("Health", {}).get("Status") != "healthy":
        assert container.attrs["State"]["Status"] in ("created", "running"), container.logs().decode()[-3000:]
        assert time.monotonic() < deadline, container.logs().decode()[-3000:]
        time.sleep(0.5)
        container.reload()
    port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
    return f"http://127.0.0.1:{port}"


def open_ports(container: Container) -> set[int]:
    """Ports that other machines reach."""
    code = (
        "import psutil; print(*{c.laddr.port for c in psutil.net_connections('inet')"
        " if c.status == 'LISTEN' and not c.laddr.ip.endswith('127.0.0.1')})"
    )
    return {int(port) for port in container.exec_run(["python", "-c", code]).output.split()}


@pytest.mark.parametrize("kind", ["weights", "archive"])
def test_a_mounted_model_is_served_until_the_container_is_stopped(engine, serve_image, config, weights, kind, tmp_path):
    """T31, T44 and T46: the container answers as the predictor does, on one port, and ends within ten seconds."""
    folder = weights
    if kind == "archive":
        folder = tmp_path / "mnt"
        package(config.package, weights=weights, out=folder / "model-store")
        for path in (tmp_path, folder, folder / "model-store"):
            path.chmod(0o755)
    predictor = Predictor(weights)
    with served(engine, serve_image, folder) as container:
        client = EndpointClient(wait_healthy(container), token=TOKEN)
        for content, boxes in golden_pictures(3):
            assert differences(predictor.predict(content, boxes), client.predict(content, boxes)) == []
        assert open_ports(container) == {8080}
        begin = time.monotonic()
        container.kill("SIGTERM")
        assert container.wait(timeout=30)["StatusCode"] == 0
        assert time.monotonic() - begin < 10
        assert TOKEN not in container.logs().decode()


def test_a_container_without_a_model_says_what_to_mount(engine, serve_image, tmp_path):
    tmp_path.chmod(0o755)
    with served(engine, serve_image, tmp_path) as container:
        assert container.wait(timeout=60)["StatusCode"] == 1
        assert "need weights.safetensors" in container.logs().decode()


def test_a_container_of_unsafe_weights_does_not_serve(engine, serve_image, weights, tmp_path):
    """T33."""
    (tmp_path / "meta.json").write_bytes((weights / "meta.json").read_bytes())
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04pickle")
    tmp_path.chmod(0o755)
    with served(engine, serve_image, tmp_path) as container:
        assert container.wait(timeout=60)["StatusCode"] == 1
