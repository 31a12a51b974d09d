"""Data versions of this clone: which commits name them, and which of their files lie here."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.data.arrival import place
from model.data.ingest import read_pointer
from model.errors import ConfigError

WORKSPACE = "workspace"
DATA = "data"
POINTER = f"{DATA}.dvc"

_LISTING = ".dir"


@dataclass(frozen=True)
class DataVersion:
    """A version by its DVC digest, and the commits whose data.dvc names it, newest first: children before parents."""

    digest: str
    commits: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """A folder of DVC objects: the cache, or a remote that is a folder."""

    name: str
    root: Path

    def objects(self) -> Mapping[str, Path]:
        """Files by digest; the listing of a folder ends in `.dir`."""
        found = sorted((self.root / "files" / "md5").glob("[0-9a-f][0-9a-f]/*"))
        return {path.parent.name + path.name: path for path in found if path.is_file()}


def versions_of(workspace: Path) -> tuple[list[DataVersion], bool]:
    """Every version that data.dvc named in some commit of any branch, and the one it names now.

    Returns:
        The versions, and whether Git told its history.
    """
    commits: dict[str, list[str]] = {}
    pointer = workspace / POINTER
    if pointer.is_file():
        _note(commits, pointer.read_text(), WORKSPACE)
    # In full: Git would leave out what a merged branch named and took back.
    log = _git(workspace, "log", "--all", "--full-history", "--topo-order", "--format=%h", "--", POINTER)
    for commit in (log or "").split():
        _note(commits, _git(workspace, "show", f"{commit}:./{POINTER}") or "", commit)
    return [DataVersion(digest, tuple(names)) for digest, names in commits.items()], log is not None


def stores_of(workspace: Path) -> tuple[list[Store], list[str]]:
    """The folders of objects that can be looked into, the cache first, and the names of remotes that cannot."""
    if not (workspace / ".dvc").is_dir():
        return [], []
    from dvc.config import Config

    config = Config(str(workspace / ".dvc"))
    stores, far = [Store("cache", Path(config["cache"].get("dir") or workspace / ".dvc" / "cache"))], []
    for name, remote in config["remote"].items():
        if "://" in remote["url"]:
            far.append(name)
        else:
            stores.append(Store(name, workspace / remote["url"]))
    return stores, far


def read_listing(path: Path) -> dict[str, str]:
    """Digests of a folder's files by their names; empty for what is no listing."""
    try:
        return {str(item["relpath"]): str(item["md5"]) for item in json.loads(path.read_text())}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def files_of(workspace: Path) -> list[str]:
    """Names of the files of the version that data.dvc names now: those that a push sends, whatever lies in `data/`.

    Raises:
        ConfigError: data.dvc or the version's list of files is not here.
    """
    pointer = workspace / POINTER
    if not pointer.is_file():
        raise ConfigError(f"{pointer}: no such file; run `dvc add {DATA}`")
    digest = read_pointer(pointer.read_text(), origin=str(pointer))
    stores, _ = stores_of(workspace)
    found = [store.root / place(digest) for store in stores if (store.root / place(digest)).is_file()]
    if not found:
        raise ConfigError(f"{pointer}: its list of files is not here; run `dvc add {DATA}` or `rmtl data pull`")
    return list(read_listing(found[0]))


def is_listing(digest: str) -> bool:
    """Whether the object is the list of a folder's files."""
    return digest.endswith(_LISTING)


def _note(commits: dict[str, list[str]], text: str, commit: str) -> None:
    try:
        commits.setdefault(read_pointer(text, origin=commit), []).append(commit)
    except ConfigError:
        # A commit without the file, or one in which it pointed to no folder.
        return


def _git(workspace: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(workspace), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
