"""The folder of a job on shared storage."""

import os
from pathlib import Path
from typing import Any

import pytest

from model.launch.shared import JobFolder, fill


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


@pytest.mark.parametrize(("owner", "expected"), [(os.getuid(), 0o777), (os.getuid() + 1, 0o700)])
def test_only_own_folders_are_opened_to_the_nodes(
    tmp_path: Path, tiny: Any, tiny_shards: Path, monkeypatch: pytest.MonkeyPatch, owner: int, expected: int
) -> None:
    """What a node made in a former try belongs to it: another user may not change its mode."""
    folder = JobFolder(tmp_path / "job")
    checkpoint = folder.out / "last"
    checkpoint.mkdir(parents=True)
    checkpoint.chmod(0o700)
    # Seen from here, the folders belong to this user in the first case only.
    monkeypatch.setattr("model.launch.shared.os.getuid", lambda: owner)
    fill(folder, tiny().run, shards=tiny_shards, out=tmp_path / "out", there=folder)
    assert mode(checkpoint) == expected
