import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from model.serving import processes

TOLERATED_S = 1.0


@pytest.fixture
def child() -> Iterator[int]:
    """A process whose name holds what separates the fields of its status."""
    rename = "import pathlib, time; pathlib.Path('/proc/self/comm').write_text('a) S (b'); print(flush=True)"
    command = [sys.executable, "-c", f"{rename}; time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.mark.parametrize("step_s", [-3600.0, TOLERATED_S, 3600.0])
def test_a_process_is_found_after_a_step_of_the_clock(
    child: int, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = json.loads(json.dumps(processes.identity(child)))
    before = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: before + step_s)
    found = processes.find(*noted)
    assert found is not None
    assert found.pid == child


def test_another_process_of_that_number_is_not_found(child: int) -> None:
    _, started = processes.identity(os.getpid())
    assert processes.find(child, started) is None


def test_a_process_of_another_boot_is_not_found(child: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = processes.identity(child)
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(processes, "BOOT_FILE", tmp_path / "boot_id")
    assert processes.find(*noted) is None


def test_an_ended_process_is_not_found(child: int) -> None:
    noted = processes.identity(child)
    psutil.Process(child).kill()
    psutil.Process(child).wait()
    assert processes.find(*noted) is None


def test_a_start_noted_in_seconds_of_the_clock_is_understood(child: int) -> None:
    """State files of former versions."""
    started = psutil.Process(child).create_time()
    assert processes.find(child, started) is not None
    assert processes.find(child, started - 60) is None
