"""What a run of `rmtl` in this process leaves, and the folder it ran in."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Result]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
