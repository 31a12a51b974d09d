"""How a measuring script ends."""

import signal
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, time
from benchmarks.entry import run, say

def main():
    try:
        say("begun")
        sys.stdout.flush()
        time.sleep(60)
    finally:
        say("cleared up")

run(main)
"""


def test_a_script_that_is_asked_to_end_clears_up(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "cleared up\n"
    assert process.returncode == 128 + signal.SIGTERM
