"""A real Postgres server of Debian's package on 127.0.0.1, that can be killed and started again."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

_START_S = 60


def binaries() -> Path | None:
    """Folder of `initdb` and `postgres`, or None where it is not installed (`apt-get install postgresql`)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A cluster of its own in a temporary folder; nobody but this machine reaches it."""

    def __init__(self, folder: Path) -> None:
        self._bin = folder
        self._root = Path(tempfile.mkdtemp(prefix="rmtl-postgres-"))
        self._data = self._root / "data"
        if os.geteuid() == 0:
            shutil.chown(self._root, "postgres", "postgres")
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        options = ["--auth=trust", "--username=me", "--no-sync", "--no-locale", "--encoding=UTF8"]
        subprocess.run(self._as_user("initdb", f"--pgdata={self._data}", *options), check=True, capture_output=True)
        self.start()

    @property
    def url(self) -> str:
        """Address for SQLAlchemy; the password is asked for by nobody."""
        return f"postgresql+psycopg://me:canary@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._root), "-c", "fsync=off"]
        self._process = subprocess.Popen(
            self._as_user("postgres", "-D", str(self._data), *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(host="127.0.0.1", port=self.port, user="me", dbname="postgres").close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, "postgres has ended"
                assert time.monotonic() < until, "postgres does not answer"
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """As `kill -9` of the server and of all its processes."""
        server = psutil.Process(self._process.pid)
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def remove(self) -> None:
        """Kill it, and delete its folder."""
        if self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._root)

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        """The server refuses to run as root."""
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return [*user, str(self._bin / program), *arguments]
