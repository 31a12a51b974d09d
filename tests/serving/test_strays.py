"""An endpoint whose folder is gone is ended by the command lines of its processes, and no other is."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from model.cli import workspace
from model.schema import Deployment, to_json
from model.serving import server
from model.serving.strays import strays
from model.storage import write_json
from tests.command import Command

SLEEP = "import time; time.sleep(600)"


class Endpoints:
    """Processes with the command lines of routers and TorchServes, which only sleep."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def router(self, folder: str, *, cwd: Path) -> int:
        return self._start("-m", "model.serving.router", folder, cwd=cwd)

    def torchserve(self, folder: Path) -> int:
        told = ("-f", str(folder / "server-0a1b2c3d/config.properties"))
        return self._start("org.pytorch.serve.ModelServer", "--python", "python", *told, cwd=folder.parent)

    def _start(self, *arguments: str, cwd: Path) -> int:
        process = self._stack.enter_context(subprocess.Popen([sys.executable, "-c", SLEEP, *arguments], cwd=cwd))
        self._stack.callback(process.kill)
        return process.pid


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    with ExitStack() as stack:
        yield Endpoints(stack)


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_processes_of_this_folder_are_found_the_router_first_and_none_of_another(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    mine, other = tmp_path / "mine/serve", tmp_path / "other/serve"
    for folder in (mine, other):
        folder.mkdir(parents=True)
    behind = endpoints.torchserve(mine)
    routers = [endpoints.router("serve", cwd=mine.parent), endpoints.router(str(mine), cwd=tmp_path)]
    endpoints.router("serve", cwd=other.parent)
    endpoints.torchserve(other)
    endpoints.torchserve(mine / "server-0a1b2c3d")
    shutil.rmtree(mine)
    found = [process.pid for process in strays(mine)]
    assert set(found[:2]) == set(routers)
    assert found[2:] == [behind]


def test_stop_ends_the_reported_deployment_when_its_folder_is_gone(
    endpoints: Endpoints, rmtl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    for folder in (project, other):
        (folder / workspace.SERVE).mkdir(parents=True)
    mine = [endpoints.router(str(workspace.SERVE), cwd=project), endpoints.torchserve(project / workspace.SERVE)]
    others = [endpoints.router(str(workspace.SERVE), cwd=other), endpoints.torchserve(other / workspace.SERVE)]
    # Another's process may have got the number meanwhile.
    reported = Deployment("http://127.0.0.1:1", "residual-mtl", "7", others[0], "artifacts/serve/client_token")
    write_json(project / workspace.DEPLOYMENT, to_json(reported))
    shutil.rmtree(project / workspace.ARTIFACTS)
    assert '"stopped": true' in rmtl("deploy", "--stop", "--json", cwd=project).stdout
    assert [runs(pid) for pid in mine] == [False, False]
    assert [runs(pid) for pid in others] == [True, True]
    assert '"stopped": false' in rmtl("deploy", "--stop", "--json", cwd=project).stdout


def test_without_a_deployment_of_this_machine_nothing_is_looked_for(endpoints: Endpoints, tmp_path: Path) -> None:
    router = endpoints.router(str(tmp_path / "serve"), cwd=tmp_path)
    on_cluster = Deployment("http://faces.team.example.org", "residual-mtl", "7", None, None)
    assert not server.stop(None, state=tmp_path / "serve")
    assert not server.stop(on_cluster, state=tmp_path / "serve")
    assert runs(router)


def test_a_report_that_is_none_keeps_no_endpoint_from_being_stopped(
    rmtl: Command, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(workspace / "reports/deployment.json", {"address": 1})
    monkeypatch.setattr(server.running, "end", lambda _: True)
    assert '"stopped": true' in rmtl("deploy", "--stop", "--json", cwd=workspace).stdout
