"""`rmtl pipeline` and the program that it hands over to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys, time
{handler}
print("begun", flush=True)
time.sleep(60)
"""
ENDS_ITSELF = "signal.signal(signal.SIGTERM, lambda number, _: (print('ended', flush=True), sys.exit(143)))"


@pytest.mark.parametrize(("handler", "last"), [(ENDS_ITSELF, "ended\n"), ("", "")])
def test_sigterm_reaches_the_program(tmp_path: Path, root: Path, handler: str, last: str) -> None:
    """T18: whether it has something to end or not; a stand-in for the program, in the folder where it is looked for."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/__init__.py").touch()
    program = PROGRAM.format(handler=handler)
    (tmp_path / "pipelines/__main__.py").write_text(program)
    command = [sys.executable, "-c", "from model.cli import main; main()", "pipeline", "follow", "run-1"]
    variables = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        # Nothing more comes only once the program is gone too.
        assert process.communicate(timeout=20)[0] == last
    assert process.returncode == 143
