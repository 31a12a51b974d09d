"""The whole chain in a fresh clone with a short training; shared by the tests that look at its results."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.runners import QUICK as SHORT
from model.cli.recipe import write_values


@dataclass(frozen=True)
class Chain:
    """A clone in which the steps ran."""

    root: Path

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `rmtl ...` or `dvc ...` in the clone."""
        programs = {
            "rmtl": [sys.executable, "-c", "from model.cli import main; main()"],
            "dvc": [sys.executable, "-m", "dvc"],
            "git": ["git"],
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            [*programs[command[0]], *command[1:]],
            cwd=self.root,
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, name: str) -> Any:
        """A report of the clone."""
        return json.loads((self.root / name).read_text())


def make_chain(source: Path, target: Path) -> Chain:
    """Clone, shorten the training, pull the sample and run every stage."""
    subprocess.run(["git", "clone", "--quiet", str(source), str(target)], check=True)
    write_values(target / "params.yaml", SHORT)
    chain = Chain(target)
    chain.run("rmtl", "data", "pull")
    chain.run("dvc", "repro")
    return chain
