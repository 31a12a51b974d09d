"""Which data version a name stands for."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.data.ingest import read_pointer, resolve_version
from model.errors import ConfigError, ServiceError

FIRST, SECOND = (f"{digit * 32}.dir" for digit in "ab")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Git repository whose data.dvc changed once; the first state has the tag `v1`."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("")
    for digest in (FIRST, SECOND):
        (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: data\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "--message=data")
        if digest == FIRST:
            git(tmp_path, "tag", "v1")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_digest_stands_for_itself() -> None:
    assert resolve_version(FIRST, repository="") == FIRST


def test_a_revision_stands_for_the_digest_of_its_data(repository: Path) -> None:
    assert resolve_version("v1", repository=str(repository)) == FIRST
    assert resolve_version("main", repository=str(repository)) == SECOND


def test_a_branch_that_moved_stands_for_its_new_data(repository: Path) -> None:
    """T14: the name is looked up every time."""
    assert resolve_version("main", repository=str(repository)) == SECOND
    git(repository, "revert", "--no-edit", "HEAD")
    assert resolve_version("main", repository=str(repository)) == FIRST


def test_an_unknown_revision_or_repository_is_a_service_out_of_reach(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="at absent"):
        resolve_version("absent", repository=str(repository))
    with pytest.raises(ServiceError, match="nowhere"):
        resolve_version("main", repository=str(tmp_path / "nowhere"))


def test_a_full_disk_is_told_from_a_remote_out_of_reach(tmp_path: Path) -> None:
    """T19, with a limit that the kernel enforces."""
    project, megabyte = tmp_path / "project", 2**20
    (project / "data").mkdir(parents=True)
    (project / "data/large.bin").write_bytes(bytes(3 * megabyte))
    for command in ("init --no-scm", "remote add --default store ../store", "add data", "push"):
        subprocess.run([sys.executable, "-m", "dvc", *command.split()], cwd=project, check=True, capture_output=True)
    digest = read_pointer((project / "data.dvc").read_text(), origin="data.dvc")
    code = (
        "import resource\n"
        "from pathlib import Path\n"
        "from model.data.ingest import fetch_version\n"
        "from model.errors import StorageError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * megabyte}, {2 * megabyte}))\n"
        "try:\n"
        f"    fetch_version({digest!r}, remote={str(tmp_path / 'store')!r}, out=Path('fetched'))\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "bytes free) on `dvc pull`; make room and run again" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"project", "store"}


def test_a_revision_without_repository_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ConfigError, match="repository"):
        resolve_version("main", repository="")


@pytest.mark.parametrize("text", ["", "outs: []", "outs:\n- path: data", "outs:\n- md5: abc\n  path: data", "a: [b"])
def test_what_is_no_pointer_to_a_folder_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"here"):
        read_pointer(text, origin="here")
