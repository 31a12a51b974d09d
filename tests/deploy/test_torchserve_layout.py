"""The TorchServe variant as its pod runs it: the runtime's arguments, our command, the committed configuration."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests

from model.config import Config
from model.net.multitask import build_net
from model.serving.archive import package
from model.serving.golden import golden_pictures
from model.serving.torchserve import free_ports
from model.weights import describe, save_weights
from tests.deploy.manifests import DEPLOY, render
from tests.listener import listener

# Arguments of KServe's ClusterServingRuntime kserve-torchserve.
RUNTIME_ARGUMENTS = (
    "torchserve",
    "--start",
    "--model-store=/mnt/models/model-store",
    "--ts-config=/mnt/models/config/config.properties",
)
START_S = 90


@pytest.fixture
def volume(config: Config, tmp_path: Path) -> Path:
    """What KServe mounts: config/ and model-store/."""
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    points = tuple((float(x), float(y)) for x, y in shape)
    about = describe(config.run, mean_shape=points, data_digest="d" * 64, restricted=False)
    save_weights(
        tmp_path / "weights", build_net(config.train.net, None, mean_shape_K2=shape, seed=0).state_dict(), about
    )
    package(config.package, weights=tmp_path / "weights", out=tmp_path / "models/model-store")
    (tmp_path / "models/config").mkdir()
    return tmp_path / "models"


@pytest.fixture
def address(volume: Path, tmp_path: Path) -> Iterator[str]:
    """The container's process on ports that are free here, until the test ends."""
    ports = dict(zip((8080, 8081, 8082), free_ports(3), strict=True))
    text = (DEPLOY / "serve/torchserve/config.properties").read_text().replace("/mnt/models", str(volume))
    for inside, here in ports.items():
        text = text.replace(f"0.0.0.0:{inside}", f"127.0.0.1:{here}").replace(
            f"127.0.0.1:{inside}", f"127.0.0.1:{here}"
        )
    rpc = free_ports(2)
    text += f"grpc_inference_port={rpc[0]}\ngrpc_management_port={rpc[1]}\ninitial_worker_port={free_ports(1)[0]}\n"
    (volume / "config/config.properties").write_text(text)
    (service,) = render(DEPLOY / "serve/torchserve")
    container = service["spec"]["predictor"]["model"]
    arguments = [item.replace("/mnt/models", str(volume)) for item in RUNTIME_ARGUMENTS]
    work = tmp_path / "tmp"
    work.mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(work),
        "TEMP": str(work),
        "TS_SERVICE_ENVELOPE": "kserve",
    } | {item["name"]: item["value"].replace("/tmp", str(work)) for item in container["env"]}
    process = subprocess.Popen([*container["command"], *arguments], cwd=work, env=environment, start_new_session=True)
    yield f"http://127.0.0.1:{ports[8080]}"
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.kill()
    process.wait(20)
    shutil.rmtree(work, ignore_errors=True)


@pytest.mark.service
def test_the_runtime_s_arguments_serve_the_archive(address: str) -> None:
    """T44."""
    content, _ = golden_pictures(1)[0]
    answer = _answer(f"{address}/predictions/residual-mtl", content)
    assert answer["error"] is None
    with listener() as outside:
        assert requests.post(f"{address}/models?url={outside.url}/x.mar", timeout=10).status_code in (404, 405)
        assert requests.get(f"{address}/models", timeout=10).status_code in (404, 405)
        assert not outside.was_called


def _answer(url: str, content: bytes) -> dict[str, object]:
    deadline = time.monotonic() + START_S
    headers = {"Content-Type": "application/octet-stream"}
    while True:
        try:
            response = requests.post(url, data=content, headers=headers, timeout=30)
            if response.status_code == 200:
                return dict(response.json())
            told = response.text
        except requests.RequestException as error:
            told = str(error)
        assert time.monotonic() < deadline, told
        time.sleep(0.5)
