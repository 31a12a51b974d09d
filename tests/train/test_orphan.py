"""A process that was told of its parent ends where that one died before it could ask the kernel."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = "import os; from model.train.orphan import *; end_with_parent(); print(PARENT in os.environ)"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word of a parent's death is Linux's")
@pytest.mark.parametrize(("own", "code"), [(True, 0), (False, -signal.SIGTERM)])
def test_an_orphan_from_its_first_moments_ends(own, code):
    """T25."""
    environment = {**os.environ, "RMTL_PARENT_PID": str(os.getpid()) if own else "1000000000"}
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout) == (code, "" if code else "False\n")
