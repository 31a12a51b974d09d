"""A real S3 server on free ports of this machine, for measurements and tests."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from model.serving.torchserve import free_ports

STARTUP_S = 60
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, that of its counters, and its process."""

    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """Stop it at once, as a machine that is gone."""
        self.process.kill()
        self.process.wait()


@contextmanager
def run_server(folder: Path, *, access: str, secret: str, roles: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """SeaweedFS with one user, without buckets; it makes none by itself and reports to nobody.

    Args:
        folder: what it stores; a server that is started there again has it all.
        roles: its settings for STS, which it then answers under the same address.
    """
    identity = {"name": "test", "credentials": [{"accessKey": access, "secretKey": secret}], "actions": ["Admin"]}
    settings = folder / "s3.json"
    settings.write_text(json.dumps({"identities": [identity]}))
    (folder / "store").mkdir(exist_ok=True)
    metrics, *ports = free_ports(1 + 2 * len(_PORTS))
    free = iter(ports)
    listeners = {name: next(free) for plain in _PORTS for name in (plain, f"{plain}.grpc")}
    options = {
        "dir": folder / "store",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "metricsIp": "127.0.0.1",
        "metricsPort": metrics,
        "s3.config": settings,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 50,
        **listeners,
    }
    command = [str(Path(sys.executable).with_name("weed")), "-logtostderr", "server", "-filer", "-s3"]
    command += [f"-{name}={value}" for name, value in options.items()]
    if roles is not None:
        (folder / "roles.json").write_text(json.dumps(roles))
        command.append(f"-s3.iam.config={folder / 'roles.json'}")
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{listeners['s3.port']}", f"http://127.0.0.1:{metrics}/metrics", process)
    try:
        _wait(server, f"http://127.0.0.1:{listeners['master.port']}", folder / "weed.log")
        yield server
    finally:
        server.end()


def _wait(server: Server, master: str, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and server.process.poll() is None:
        if _ready(server, master):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")


def _ready(server: Server, master: str) -> bool:
    """It answers, and knows of a disk: only then can it read what was stored before."""
    try:
        disks = requests.get(f"{master}/dir/status", timeout=1).json()["Topology"]["Max"]
        return disks > 0 and requests.get(f"{server.url}/status", timeout=1).ok
    except requests.RequestException:
        return False
