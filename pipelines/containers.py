"""The steps of a local run as containers: what they see, and that none is left."""

import os
from contextlib import closing
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound
from docker.types import Mount
from kfp import local

from components.base import IMAGE
from model.data.ingest import CACHE
from model.errors import ConfigError, ServiceError
from pipelines import cache

LABEL = "rmtl.run"
PASSED_ON = ("AWS_", "MLFLOW_", "RMTL_")
"""Beginnings of the variables that reach a container."""
KEPT_BACK = "RMTL_KFP_"

_SQLITE = "sqlite:///"


def runner(run: str, *, remote: str) -> local.DockerRunner:
    """Containers on the host's network, as the caller, that see this folder and the remote, and write only there.

    Raises:
        ConfigError: the image is not there.
        ServiceError: no container engine answers.
    """
    _image_id()
    here = Path.cwd()
    environment = _environment(here)
    mounts = [Mount(str(here), str(here), type="bind")]
    if "://" not in remote and not Path(remote).is_relative_to(here):
        mounts.append(Mount(remote, remote, type="bind", read_only=True))
    if fetched := environment.get(CACHE):
        Path(fetched).mkdir(parents=True, exist_ok=True)
        mounts.append(Mount(fetched, fetched, type="bind"))
    return local.DockerRunner(
        environment=environment,
        labels={LABEL: run},
        mounts=mounts,
        network_mode="host",
        read_only=True,
        shm_size="1g",
        tmpfs={"/tmp": "exec"},
        user=f"{os.getuid()}:{os.getgid()}",
    )


def code_digests(stages: Path) -> dict[str, str]:
    """The image stands for the source of every step.

    Raises:
        ConfigError: the image is not there.
        ServiceError: no container engine answers.
    """
    return dict.fromkeys(cache.code_digests(stages), _image_id())


def stop(run: str) -> None:
    """End the containers of a run that are left."""
    with closing(docker.from_env()) as client:
        for container in client.containers.list(filters={"label": f"{LABEL}={run}"}):
            container.stop(timeout=10)


def _image_id() -> str:
    try:
        with closing(docker.from_env()) as client:
            return str(client.images.get(IMAGE).id)
    except ImageNotFound as error:
        raise ConfigError(f"RMTL_IMAGE={IMAGE}: no such image here; run `make images`") from error
    except (DockerException, OSError) as error:
        raise ServiceError(f"no container engine: {error}; start Docker, or use --runner subprocess") from error


def _environment(here: Path) -> dict[str, str]:
    """Our variables; database and cache are named by their full paths, since a container starts in another folder."""
    passed = {name: value for name, value in os.environ.items() if value and name.startswith(PASSED_ON)}
    places = {
        "MLFLOW_TRACKING_URI": f"{_SQLITE}mlflow.db",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": str(here / "mlartifacts"),
    }
    values = {name: value for name, value in (places | passed).items() if not name.startswith(KEPT_BACK)}
    if CACHE in values:
        values[CACHE] = str((here / values[CACHE]).resolve())
    return {name: _absolute(value, here) for name, value in values.items()}


def _absolute(value: str, here: Path) -> str:
    """A relative SQLite address as an absolute one."""
    return f"{_SQLITE}{here / value.removeprefix(_SQLITE)}" if value.startswith(_SQLITE) else value
