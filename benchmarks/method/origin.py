"""Which code made a result: the revision, and a digest of what decides the numbers, whatever else has changed."""

import subprocess
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import torch

from benchmarks.method.plan import ROOT
from model.storage import digest_bytes, digest_file
from model.train.precision import computes_bf16
from model.weights import git_revision

# Reports may be written by other code than that which made the results.
_DECIDING = (
    *("model/*.py", "model/config/*.py", "model/data/*.py", "model/net/*.py", "model/train/*.py"),
    *("model/evaluation/*.py", "benchmarks/method/measure.py", "benchmarks/method/prepare.py"),
)
_WATCHED = ("model", "benchmarks/method", "recipes", "params.yaml")


def code_state() -> dict[str, Any]:
    """Revision, whether files that matter differ from it, and 16 digits over the modules that train and measure."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--", *_WATCHED]
    changes = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "git": git_revision(),
        "dirty": bool(changes.returncode or changes.stdout.strip()),
        "digest": _digest(ROOT),
    }


def versions() -> dict[str, str]:
    """What computes, and whether the processor multiplies bf16 or training computes in fp32 instead."""
    arithmetic = "bf16" if computes_bf16("cpu") else "fp32"
    return {
        "python": python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "arithmetic": arithmetic,
    }


def _digest(root: Path) -> str:
    modules = sorted(path for pattern in _DECIDING for path in root.glob(pattern))
    lines = [f"{path.relative_to(root).as_posix()}\0{digest_file(path)}\n" for path in modules]
    return digest_bytes("".join(lines).encode())[:16]
