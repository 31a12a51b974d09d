"""What a fault is played on: a real server with a proxy before it, and two checkouts of one project."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

from benchmarks.object_proxy import Request, run_proxy
from benchmarks.object_store import Server, run_server
from model.s3 import s3_client

FILES = 48
LARGE_BYTES = 4 * 1024**2
BUCKET = "faces"
REMOTE = f"s3://{BUCKET}/data"
ACCESS = "faults"
SECRET = token_hex(16)

_RMTL = [sys.executable, "-c", "from model.cli import main; main()", "data"]
_DVC = [sys.executable, "-m", "dvc"]


class Stage:
    """A project to run commands in, another checkout of it, a bucket, and the command while it runs.

    Args:
        ends: what is started is ended with it.
    """

    def __init__(self, template: Path, scratch: Path, ends: ExitStack) -> None:
        self.project, self.other = (shutil.copytree(template, scratch / name) for name in ("project", "other"))
        self._scratch, self._storage, self._ends = scratch, scratch / "server", ends
        self._storage.mkdir()
        self.server = self._serve()
        self.proxy = ends.enter_context(run_proxy(self.server.url))
        self.process: subprocess.Popen[str] | None = None
        os.environ.update({**_variables(), "AWS_ENDPOINT_URL_S3": self.proxy.url})
        s3_client.cache_clear()
        s3_client().create_bucket(Bucket=BUCKET)

    def _serve(self) -> Server:
        return self._ends.enter_context(run_server(self._storage, access=ACCESS, secret=SECRET))

    def rmtl(self, command: str, folder: Path, *, variables: Mapping[str, str]) -> dict[str, Any]:
        """Exit code as a shell tells it, seconds, last line, and number of objects moved of one command."""
        self.proxy.seen.clear()
        # DVC's notes on what a remote has lie in the site's cache, not in the project.
        environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"), **variables}
        began = time.monotonic()
        with subprocess.Popen(
            [*_RMTL, command],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as self.process:
            lines = self.process.communicate()[1].strip().splitlines()
        seconds = round(time.monotonic() - began, 1)
        said = lines[-1].replace(f"{self._scratch}/", "") if lines else ""
        method = "PUT" if command == "push" else "GET"
        moved = {item.path for item in self.proxy.seen if item.method == method and "/files/md5/" in item.path}
        code = self.process.returncode
        return {"exit_code": 128 - code if code < 0 else code, "s": seconds, "said": said, "moved": len(moved)}

    def push_other(self) -> None:
        """Send the version from the other checkout."""
        pushed = self.rmtl("push", self.other, variables={})
        assert pushed["exit_code"] == 0, pushed["said"]

    def forget(self) -> None:
        """The project as a fresh clone: neither data nor cache."""
        shutil.rmtree(self.project / "data")
        shutil.rmtree(self.project / ".dvc" / "cache")

    def mount(self, folder: Path, room: int) -> None:
        """A disk of so many bytes in this folder."""
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "none", folder], check=True)
        self._ends.callback(lambda: subprocess.run(["umount", folder], check=True))

    def widen(self, folder: Path, room: int) -> None:
        """More room on that disk; what lies there stays."""
        subprocess.run(["mount", "-o", f"remount,size={room}", folder], check=True)

    def half_way(self, act: Callable[[], None]) -> None:
        """Do this once, when half of the objects were sent."""
        left = [act]

        def watch(request: Request) -> None:
            if request.method == "PUT" and self.proxy.count("PUT") > FILES // 2 and left:
                left.pop()()

        self.proxy.before = watch

    def kill_client(self) -> None:
        """Kill the command and DVC with it."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)

    def calm(self) -> None:
        """No faults from now on; a server that was killed is started again on what it stored."""
        self.proxy.refuse, self.proxy.before, self.proxy.delay_s = (lambda _: False), (lambda _: None), 0.0
        if self.server.process.poll() is not None:
            self.server = self._serve()
            self.proxy.upstream = self.server.url


def make_project(project: Path) -> Path:
    """A git and DVC project with so many small files and a large one."""
    (project / "data").mkdir(parents=True)
    for number in range(FILES):
        (project / "data" / f"{number}.txt").write_text(f"{number}\n" * 100)
    (project / "data" / "large.bin").write_bytes(os.urandom(LARGE_BYTES))
    shutil.copy(Path(__file__).parents[2] / "params.yaml", project)
    for command in (["git", "init", "--quiet"], [*_DVC, "init", "--quiet"], [*_DVC, "add", "--quiet", "data"]):
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    return project


def names() -> list[str]:
    """Every object of the bucket."""
    return [item["Key"] for item in s3_client().list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def altered() -> list[str]:
    """Objects whose bytes have another MD5 than the one that names them."""
    found = []
    for name in names():
        content = s3_client().get_object(Bucket=BUCKET, Key=name)["Body"].read()
        if hashlib.md5(content).hexdigest() != "".join(name.split("/")[-2:]).removesuffix(".dir"):
            found.append(name)
    return found


def _variables() -> dict[str, str]:
    files = {"AWS_CONFIG_FILE": "/nowhere/config", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials"}
    keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
    return {"RMTL_S3_REMOTE": REMOTE, **files, **keys}
