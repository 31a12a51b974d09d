"""Training in the step itself: torchrun as a child, one process a GPU."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import yaml

from model.config import TrainRun
from model.launch.follow import Follower
from model.launch.outcome import Lines, error_of, with_restarts
from model.launch.settings import read_restarts
from model.train.failure import FAILURE_FILE, read
from model.train.interrupt import Notice, TerminatedError, on_sigterm
from model.train.log import RunLog
from model.train.orphan import PARENT

# torchrun gives its processes 30 s to write a checkpoint.
LEAVE_S = 45.0
POLL_S = 0.2

logger = logging.getLogger(__name__)


def run_processes(run: TrainRun, *, shards: Path, out: Path, processes: int, log: RunLog | None) -> None:
    """Train with torchrun until the end, or until what it died of is no lost process."""
    with tempfile.TemporaryDirectory(prefix="rmtl-train-") as folder, on_sigterm() as notice:
        run_file, failure = Path(folder) / "run.yaml", Path(folder) / "failure.json"
        run_file.write_text(yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False))
        command = [sys.executable, "-m", "model.launch.node", "--alone", f"--processes={processes}", "--"]
        command += [f"--config={run_file}", f"--shards={shards}", f"--out={out}"]
        with Follower(out, epochs=run.train.epochs, log=log):
            with_restarts(lambda: run_child(command, failure, notice), read_restarts())


def run_child(command: list[str], failure: Path, notice: Notice) -> None:
    """Run a command of torchrun to its end and raise what it died of; `failure` is where it leaves the cause."""
    if notice.given:
        raise TerminatedError("asked to end before training began; the same command goes on from the last checkpoint")
    failure.unlink(missing_ok=True)
    # Otherwise torchrun's store keeps the address of a killed process, and the next start fails.
    settings = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", FAILURE_FILE: str(failure), "PYTHONUNBUFFERED": "1"}
    settings[PARENT] = str(os.getpid())
    lines = Lines()
    with subprocess.Popen(
        command,
        env={"OMP_NUM_THREADS": "1", **os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        reader = threading.Thread(target=_read, args=(child, lines), daemon=True)
        reader.start()
        try:
            _wait(child, notice)
        except BaseException:
            _stop(child)
            raise
        finally:
            reader.join(POLL_S)
    if child.returncode:
        code = TerminatedError.exit_code if notice.given else abs(child.returncode)
        raise error_of(read(failure), code, lines.error, asked=notice.given)


def _wait(child: "subprocess.Popen[str]", notice: Notice) -> None:
    while child.poll() is None:
        if notice.given:
            _stop(child)
            return
        try:
            child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue


def _stop(child: "subprocess.Popen[str]") -> None:
    """Pass SIGTERM on, so that a checkpoint is written."""
    child.terminate()
    try:
        child.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(child: "subprocess.Popen[str]", lines: Lines) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.feed(line)
