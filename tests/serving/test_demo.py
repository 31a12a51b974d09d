"""`make demo` ends the endpoint that it started, and no other."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(("fails_at", "ended"), [("deploy", False), ("predict", True)])
def test_only_an_endpoint_of_the_demo_is_ended(fails_at: str, ended: bool, root: Path, tmp_path: Path) -> None:
    """Where one runs already, `rmtl deploy` refuses to start."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(root / "benchmarks/demo.sh", tmp_path / "benchmarks")
    log = tmp_path / "calls"
    for name in ("rmtl", "dvc", "python"):
        command = tmp_path / "bin" / name
        command.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n[ "$1" != {fails_at} ]\n')
        command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    script = tmp_path / "benchmarks/demo.sh"
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
    assert ("rmtl deploy --stop" in log.read_text().splitlines()) == ended
