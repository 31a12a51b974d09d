"""Training as a TrainJob: put the data where the nodes see it, start or join the job, follow it, fetch the result.

The name of a job is made of all that decides its result, so a step that is tried again finds the job of its first try.
"""

import hashlib
import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from model.config import TrainRun
from model.data.faces import read_index
from model.errors import FaceError, ServiceError
from model.launch import shared
from model.launch.client import JobClient, JobSpec, Status
from model.launch.follow import Follower
from model.launch.outcome import Lines, error_of, with_restarts
from model.launch.settings import JobSettings, read_restarts, read_settings
from model.launch.shared import JobFolder
from model.launch.topology import Topology
from model.train.checkpoint import Origin, origin_of
from model.train.failure import FAILURE_FILE, TrainingError, read
from model.train.interrupt import Notice, TerminatedError, on_sigterm
from model.train.log import RunLog
from model.weights import WEIGHTS_FILE

POLL_S = 2.0
# Seconds that a cluster may be out of reach while a job runs.
PATIENCE_S = 120.0
# Seconds that processes have to say why their job failed, once it has.
WORD_S = 20.0
# Seconds that a deleted job has to vanish.
DELETE_S = 120.0
# Settings of the step that hold for the nodes too. No secret is among them: those come from the runtime's manifest.
_PASSED_ON = ("RMTL_HEARTBEAT_S", "RMTL_COLLECTIVE_TIMEOUT_S", "RMTL_GIT_REVISION")

logger = logging.getLogger("model.launch")


def run_job(run: TrainRun, *, shards: Path, out: Path, topology: Topology, log: RunLog | None) -> None:
    """Train on the nodes until the end; a job that this call leaves unfinished is deleted if it was asked to end."""
    settings, restarts = read_settings(), read_restarts()
    name = job_name(origin_of(run, read_index(shards)), topology, settings.image)
    folder, client = JobFolder(settings.shared / name), JobClient(settings)
    there = JobFolder(client.node_folder(folder.path))
    shared.fill(folder, run, shards=shards, out=out, there=there)
    with on_sigterm() as notice:
        job = _Job(client, settings, name, folder, there, topology, notice)
        with Follower(folder.out, epochs=run.train.epochs, log=log, mirror=out):
            with_restarts(job.run, restarts)
        shared.fetch(folder, out)
        job.client.delete(name)
    shutil.rmtree(folder.path, ignore_errors=True)


def job_name(origin: Origin, topology: Topology, image: str) -> str:
    """A DNS label that two trainings share only if they make the same weights in the same way."""
    made_of = [origin.config_digest, origin.data_digest, origin.shards_digest, origin.code_digest]
    parts = [*made_of, topology.model_dump_json(), image]
    return f"rmtl-train-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class _Job:
    client: JobClient
    settings: JobSettings
    name: str
    folder: JobFolder
    there: JobFolder
    topology: Topology
    notice: Notice

    def run(self) -> None:
        """Start or join, and wait."""
        if not self._there():
            self.folder.failure.unlink(missing_ok=True)
            self.client.create(self._spec(), self.folder)
            logger.info("job %s: %d node(s) asked for", self.name, self.topology.nodes)
        lines = Lines()
        with _Echo(self.client, self.name, lines):
            try:
                ended = self._wait()
            except (TerminatedError, TrainingError, KeyboardInterrupt):
                self.client.delete(self.name)
                raise
        # Its status is not asked for again: a failed job may be cleared away meanwhile.
        if ended == "Failed":
            raise self._failure(lines)

    def _there(self) -> bool:
        """Whether a job of this name runs, or has ended well and left its result; what else there is makes room."""
        status = self.client.status(self.name)
        if status in ("Created", "Running", "Unknown"):
            logger.info("job %s: runs already, joined", self.name)
            return True
        if status == "Complete" and (self.folder.out / WEIGHTS_FILE).is_file():
            return True
        if status is not None:
            self._delete()
        return False

    def _delete(self) -> None:
        self.client.delete(self.name)
        deadline = time.monotonic() + DELETE_S
        while self.client.status(self.name) is not None:
            if time.monotonic() > deadline:
                raise ServiceError(f"job {self.name}: still there {DELETE_S:.0f} s after it was deleted; try again")
            time.sleep(POLL_S)

    def _spec(self) -> JobSpec:
        there = self.there
        env = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
        env |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "PYTHONUNBUFFERED": "1", FAILURE_FILE: str(there.failure)}
        arguments = [f"--config={there.run}", f"--shards={there.shards}", f"--out={there.out}"]
        return JobSpec(self.name, self.topology.nodes, self.topology.processes, arguments, env)

    def _wait(self) -> Status:
        """The status in which the job has ended."""
        deadline, seen = time.monotonic() + self.settings.timeout_s, time.monotonic()
        status: Status | None = None
        while True:
            if self.notice.given:
                raise TerminatedError(f"job {self.name}: asked to end and deleted; {self._remedy()}")
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"job {self.name}: not done after RMTL_TRAIN_TIMEOUT_S={self.settings.timeout_s}, deleted; "
                    f"raise it, {self._remedy()}"
                )
            former = status
            try:
                status = self.client.status(self.name)
                seen = time.monotonic()
            except ServiceError:
                if time.monotonic() - seen > PATIENCE_S:
                    raise
                status = "Unknown"
            if status is None:
                raise TrainingError(f"job {self.name}: deleted by somebody else; {self._remedy()}")
            if status != former:
                logger.info("job %s: %s", self.name, status)
            if status in ("Complete", "Failed"):
                return status
            time.sleep(POLL_S)

    def _failure(self, lines: Lines) -> FaceError:
        """The cause that a process kept, else the last error that a node printed."""
        deadline = time.monotonic() + WORD_S
        while read(self.folder.failure) is None and time.monotonic() < deadline:
            time.sleep(POLL_S / 2)
        for node in range(1, self.topology.nodes):
            for piece in self.client.lines(self.name, node=node):
                lines.feed(piece)
        failed = ", ".join(self.client.failed_nodes(self.name))
        logger.error("job %s: failed%s", self.name, f" on {failed}" if failed else "")
        line = f"{failed}: {lines.error}" if failed else lines.error
        return error_of(read(self.folder.failure), 1, line, asked=self.notice.given)

    def _remedy(self) -> str:
        return f"the same command goes on from the checkpoint in {self.folder.out}"


class _Echo:
    """Passes on what the first node prints, from a thread, while the block runs."""

    def __init__(self, client: JobClient, name: str, lines: Lines) -> None:
        self._client, self._name, self._lines = client, name, lines
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-log", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(POLL_S)

    def _run(self) -> None:
        told = 0
        while not self._ended.wait(POLL_S / 2):
            try:
                for number, piece in enumerate(self._client.lines(self._name, follow=True)):
                    # A stream that broke off begins anew.
                    if number >= told:
                        self._lines.feed(piece)
                        told = number + 1
            except FaceError as error:
                logger.debug("job %s: %s", self._name, error)
