import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from model.errors import CheckpointError
from model.schema import Deployment
from model.serving import foreground
from model.serving.client import EndpointClient
from model.serving.foreground import as_archive
from tests.command import Command

ARGUMENTS = ("deploy", "--foreground", "--json", "--weights")


def start(root: Path, weights: Path, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from model.cli import main; main()", *ARGUMENTS, str(weights)]
    return subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def running(root: Path, mar: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(root, mar, RMTL_ENDPOINT_TOKEN="of-my-own")
    yield process
    process.kill()


@pytest.mark.service
def test_a_terminated_endpoint_ends_with_0_and_leaves_no_process_and_no_file(running, picture):
    assert running.stdout is not None
    deployment = json.loads(running.stdout.readline())
    assert (deployment["model"], deployment["version"]) == ("residual-mtl", "7")
    answer = EndpointClient(deployment["url"], token="of-my-own").predict(picture[0], picture[1])
    assert len(answer["faces"]) == 1
    family = psutil.Process(running.pid).children(recursive=True)
    begin = time.monotonic()
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    assert time.monotonic() - begin < 10
    assert len(family) >= 3
    assert not any(psutil.pid_exists(process.pid) for process in family)
    assert not Path(deployment["key_file"]).parent.exists()


@pytest.mark.service
def test_an_endpoint_told_to_end_while_it_starts_ends(root, mar):
    process = start(root, mar)
    deadline = time.monotonic() + 60
    while len(psutil.Process(process.pid).children()) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, ""), errors
    assert not any(psutil.pid_exists(member.pid) for member in family)


@pytest.mark.service
def test_an_endpoint_whose_server_dies_ends_with_exit_code_5(root, weights):
    """T41: what runs the container starts it again. The weights folder is packed on the way."""
    process = start(root, weights)
    assert process.stdout is not None
    deployment = json.loads(process.stdout.readline())
    java = [child for child in psutil.Process(process.pid).children() if "org.pytorch.serve" in str(child.cmdline())]
    java[0].kill()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "ended by itself" in errors
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{deployment['url']}/ping", timeout=5)


@pytest.fixture
def signals() -> Iterator[None]:
    """The handlers of this process as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("in_pod", [True, False])
def test_a_pod_that_is_told_to_end_answers_on_until_its_cluster_knows(in_pod, config, tmp_path, monkeypatch):
    """T42: a rolling update sends requests to a pod for moments after its signal."""
    told, ended = [], []

    def look(state: Path) -> bool:
        if not told:
            told.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if in_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(foreground, "LEAVE_S", 0.5)
    monkeypatch.setattr(foreground, "POLL_S", 0.01)
    deployment = Deployment("http://127.0.0.1:1", "residual-mtl", "7", None, None)
    monkeypatch.setattr(foreground.server, "start", lambda *_, **__: deployment)
    monkeypatch.setattr(foreground.server, "is_whole", look)
    monkeypatch.setattr(foreground.server, "stop", lambda *_, **__: ended.append(time.monotonic()))
    foreground.serve(config.deploy, find=lambda folder: folder, host="127.0.0.1", announce=lambda _: None)
    assert (ended[0] - told[0] >= foreground.LEAVE_S) == in_pod


def test_an_archive_is_found_in_a_mounted_folder(config, mar, tmp_path):
    for place in (tmp_path / "a", tmp_path / "b" / "model-store"):
        place.mkdir(parents=True)
        shutil.copy(mar, place / mar.name)
    assert as_archive(config.package, mar, tmp_path) == mar
    assert as_archive(config.package, tmp_path / "a", tmp_path).parent == tmp_path / "a"
    assert as_archive(config.package, tmp_path / "b", tmp_path).parent == tmp_path / "b" / "model-store"


def test_a_folder_without_a_model_or_with_two_is_refused_by_name(config, mar, tmp_path):
    with pytest.raises(CheckpointError, match="found none"):
        as_archive(config.package, tmp_path, tmp_path)
    for name in ("one.mar", "two.mar"):
        shutil.copy(mar, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"found one\.mar, two\.mar"):
        as_archive(config.package, tmp_path, tmp_path)


@pytest.mark.parametrize("options", [["--weights", "x"], ["--host", "0.0.0.0"], ["--foreground", "--stop"]])
def test_options_that_do_not_go_together_end_with_exit_code_2(rmtl: Command, workspace: Path, options: list[str]):
    result = rmtl("deploy", *options, cwd=workspace)
    assert result.returncode == 2
    assert "--foreground" in result.stderr
