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
    assert [version.digest[0] for version in versions_of(tmp_path)[0]] == ["b", "a"]


def test_a_version_that_a_merged_branch_took_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its objects may still lie on a remote; a history that Git simplifies leaves it out."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=tmp_path, check=True)
    commit(tmp_path, "a", "2026-01-01T12:00:00Z", monkeypatch)
    git = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    subprocess.run([*git, "checkout", "--quiet", "-b", "side"], cwd=tmp_path, check=True)
    commit(tmp_path, "b", "2026-01-01T13:00:00Z", monkeypatch)
    subprocess.run([*git, "revert", "--no-edit", "HEAD"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*git, "checkout", "--quiet", "main"], cwd=tmp_path, check=True)
    subprocess.run([*git, "merge", "--quiet", "--no-ff", "--no-edit", "side"], cwd=tmp_path, check=True)
    for branch in ("side", "at-a", "at-b"):
        subprocess.run([*git, "branch", "--quiet", "-D", branch], cwd=tmp_path, check=True)
    assert {version.digest[0] for version in versions_of(tmp_path)[0]} == {"a", "b"}


def test_a_folder_without_history_says_so(tmp_path: Path) -> None:
    assert versions_of(tmp_path / "nowhere") == ([], False)
