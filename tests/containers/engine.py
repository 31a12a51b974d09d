"""A container engine for the tests: the one that answers, else one of our own, ended with the session."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
from docker.errors import DockerException

BASE_IMAGE = "residual-mtl-test-base:bookworm"
START_S = 60
STOP_S = 60


class EngineMissingError(Exception):
    """No engine answers and none can be started; the message names what is missing."""


def cache_folder() -> Path:
    """Where an engine of ours keeps its images between sessions (about 10 GB)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "residual-mtl" / "engine"


@contextmanager
def running_engine(data: Path) -> Iterator[docker.DockerClient]:
    """A client of a running engine; DOCKER_HOST names it for the programs that are started meanwhile.

    Raises:
        EngineMissingError: see there.
    """
    if client := _answering():
        yield client
        return
    missing = [program for program in ("docker", "dockerd", "iptables") if not shutil.which(program)]
    if missing or os.geteuid() != 0:
        wanted = f"install {', '.join(missing)}" if missing else "become root"
        raise EngineMissingError(f"no container engine answers; start one, or {wanted} so that the tests can")
    with TemporaryDirectory(prefix="engine-") as folder, _daemon(Path(folder), data):
        address, before = f"unix://{folder}/docker.sock", os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = address
        try:
            yield docker.DockerClient(base_url=address)
        finally:
            os.environ.pop("DOCKER_HOST")
            if before:
                os.environ["DOCKER_HOST"] = before


def base_image(client: docker.DockerClient) -> str:
    """BASE_IMAGE of the environment, else an image made with debootstrap, once.

    Raises:
        EngineMissingError: debootstrap is missing, or found no mirror.
    """
    if given := os.environ.get("BASE_IMAGE"):
        return given
    if not client.images.list(BASE_IMAGE) and not shutil.which("debootstrap"):
        raise EngineMissingError("no base image: install debootstrap, or set BASE_IMAGE to one that can be pulled")
    script = Path(__file__).with_name("base_image.sh")
    made = subprocess.run([script, BASE_IMAGE], capture_output=True, text=True, check=False)
    if made.returncode:
        raise EngineMissingError(f"no base image: {made.stderr.strip()}")
    return BASE_IMAGE


def _answering() -> docker.DockerClient | None:
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException:
        return None
    return client


@contextmanager
def _daemon(folder: Path, data: Path) -> Iterator[None]:
    data.mkdir(parents=True, exist_ok=True)
    places = {"data-root": data, "exec-root": folder / "exec", "pidfile": folder / "pid"}
    options = [f"--{name}={place}" for name, place in places.items()]
    # Containers may not raise the limit on open files.
    options += [f"--host=unix://{folder}/docker.sock", "--default-ulimit=nofile=20000:20000"]
    log = folder / "log"
    with log.open("wb") as stream:
        daemon = subprocess.Popen(["dockerd", *options], stdout=stream, stderr=stream, start_new_session=True)
    try:
        _wait(daemon, f"unix://{folder}/docker.sock", log)
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _unmount_below(folder)


def _unmount_below(folder: Path) -> None:
    """A daemon leaves its network namespace mounted; its folder cannot be removed before that is undone."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in mounted if Path(point).is_relative_to(folder)), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def _wait(daemon: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while daemon.poll() is None and time.monotonic() < deadline:
        try:
            docker.DockerClient(base_url=address).ping()
            return
        except DockerException:
            time.sleep(0.3)
    raise EngineMissingError(f"dockerd does not start here: {log.read_text()[-600:]}")
