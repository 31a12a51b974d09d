"""A container engine and both images, built once a session as a user builds them: by `make images`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import docker
import pytest

import model
from tests.containers.engine import EngineMissingError, base_image, cache_folder, running_engine

CANARIES = {
    name: f"canary-{name.lower()}-7f3a9c"
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "RMTL_ENDPOINT_TOKEN")
}
"""Secrets in the environment of the build."""


def give_up(reason: EngineMissingError) -> NoReturn:
    """Skip, unless RMTL_TEST_ENGINE=required, as in continuous integration."""
    if os.environ.get("RMTL_TEST_ENGINE") == "required":
        pytest.fail(str(reason))
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the running engine; one that the tests started ends with them."""
    with ExitStack() as stack:
        try:
            client = stack.enter_context(running_engine(cache_folder()))
        except EngineMissingError as reason:
            give_up(reason)
        yield client


@pytest.fixture(scope="session")
def images(engine: docker.DockerClient, root: Path) -> tuple[str, str]:
    """Names of the images for training and serving."""
    try:
        base = base_image(engine)
    except EngineMissingError as reason:
        give_up(reason)
    # The oldest builder in use: what it accepts, every other one does.
    settings = {"BASE_IMAGE": base, "DOCKER_BUILDKIT": "0", "IMAGE_OPTIONS": "--network host"} | CANARIES
    made = subprocess.run(
        ["make", "images"], cwd=root, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    defaults = (f"residual-mtl:{model.__version__}", f"residual-mtl-serve:{model.__version__}")
    return os.environ.get("RMTL_IMAGE", defaults[0]), os.environ.get("RMTL_SERVE_IMAGE", defaults[1])


@pytest.fixture(scope="session")
def train_image(images: tuple[str, str]) -> str:
    """Name of the image that runs the steps."""
    return images[0]


@pytest.fixture(scope="session")
def serve_image(images: tuple[str, str]) -> str:
    """Name of the image that runs the endpoint."""
    return images[1]
