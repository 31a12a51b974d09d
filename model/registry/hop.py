"""One step of a walk from an answer to its data, and what a clone's history says of a file."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
NONE = "none"
"""Value of a hop where there is nothing to check, which breaks nothing."""


@dataclass(frozen=True)
class Hop:
    """One step of the walk: what it leads to, and the problem that breaks it (empty for a sound one)."""

    hop: str
    value: str
    problem: str


def git(workspace: Path, *arguments: str) -> bytes | None:
    """What a Git command prints in the workspace; None where it fails, or there is no repository."""
    command = ["git", "-C", str(workspace), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def committed(workspace: Path, revision: str, file: str) -> bytes | None:
    """A file of the workspace as a commit holds it; None where it holds none."""
    return git(workspace, "show", "--end-of-options", f"{revision}:./{file}")
