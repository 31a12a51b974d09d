"""Data versions by the commits that name them."""

import subprocess
from pathlib import Path

import pytest

from model.data.versions import versions_of


def commit(project: Path, digit: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit a data.dvc with a digest of that digit at a time, and put a branch on it."""
    (project / "data.dvc").write_text(f"outs:\n- md5: {digit * 32}.dir\n  path: data\n")
    for name in ("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"):
        monkeypatch.setenv(name, when)
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for command in (["add", "."], [*who, "commit", "--quiet", "-m", digit], ["branch", f"at-{digit}"]):
        subprocess.run(["git", *command], cwd=project, check=True)


def test_a_later_commit_comes_first_whatever_the_clock_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T23: the clock went back by an hour between two commits."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    commit(tmp_path, "a", "2026-01-01T12:00:00Z", monkeypatch)
    commit(tmp_path, "b", "2026-01-01T11:00:00Z", monkeypatch)
    (tmp_path / "data.dvc").unlink()
    assert [version.digest[0] for version in versions_of(tmp_path)] == ["b", "a"]
