"""Fetch one data version from a DVC remote; no Git checkout is needed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from model.data.arrival import place, told
from model.data.remote import OPTIONS, dvc_environment
from model.errors import ConfigError, ServiceError, StorageError
from model.s3 import read_object
from model.storage import FULL, atomic_path

DIGEST = re.compile(r"[0-9a-f]{32}\.dir")
CACHE = "RMTL_DATA_CACHE"
"""Folder for files on their way and for versions fetched before; a retried step goes on from what lies there."""


def resolve_version(version: str, *, repository: str) -> str:
    """The DVC digest that a data version means.

    Args:
        version: the `md5` of a data.dvc (it stands for itself), or a Git revision: branch, tag or commit.
        repository: address or folder of the Git repository; needed for a revision.

    Raises:
        ConfigError: a revision without repository, or data.dvc of that revision is no pointer to one folder.
        ServiceError: the repository cannot be reached, or has no such revision.
    """
    if DIGEST.fullmatch(version):
        return version
    if not repository:
        raise ConfigError(
            f"data version {version!r}: not the md5 of a data.dvc (32 digits and `.dir`); "
            "a Git revision needs the repository's address beside it"
        )
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        text = dvc.api.read("data.dvc", repo=repository, rev=version)
    except (DvcException, SCMError, OSError) as error:
        raise ServiceError(f"{repository} at {version}: data.dvc cannot be read: {error}") from error
    return read_pointer(text, origin=f"{repository} at {version}: data.dvc")


def read_pointer(text: str, *, origin: str) -> str:
    """The digest in the text of a data.dvc.

    Raises:
        ConfigError: not a DVC pointer to one folder.
    """
    try:
        (output,) = yaml.safe_load(text)["outs"]
        digest = str(output["md5"])
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{origin}: not a DVC pointer to one folder: {error}; run `dvc add data`") from error
    if not DIGEST.fullmatch(digest):
        raise ConfigError(f"{origin}: {digest} is not the digest of a folder; run `dvc add data`")
    return digest


def fetch_version(digest: str, *, remote: str, out: Path) -> None:
    """Write the folder behind a `data.dvc` digest to `out`, every file checked against it by DVC.

    How much has come is logged every half minute.

    Args:
        digest: the `md5` of data.dvc, ending in `.dir`.
        remote: `s3://bucket/prefix` or a folder. Keys and endpoint come from the usual AWS variables.

    Raises:
        ConfigError: the digest has not DVC's form.
        ServiceError: the remote cannot be reached, lacks the version, or holds altered bytes. With `RMTL_DATA_CACHE`
            set, a later call fetches only what is missing.
        StorageError: the disk is full.
    """
    if not DIGEST.fullmatch(digest):
        raise ConfigError(f"data version {digest!r}: need the md5 of data.dvc, 32 digits and `.dir`")
    files = _files(digest, remote)
    # Beside the target: the data may be larger than what a scratch folder in memory holds, and is moved in no time.
    with atomic_path(out) as target, TemporaryDirectory(dir=target.parent) as scratch:
        project = Path(scratch)
        pointer = {"outs": [{"md5": digest, "hash": "md5", "path": "data"}]}
        (project / "data.dvc").write_text(yaml.safe_dump(pointer))
        _dvc(project, "init", "--no-scm", "--quiet")
        (project / ".dvc" / "config").write_text(_settings(remote))
        with told(Path(os.environ.get(CACHE) or project / ".dvc" / "cache"), files):
            _dvc(project, "pull")
        shutil.move(project / "data", target)


def _files(digest: str, remote: str) -> set[str]:
    """The digests of a version's files; fetching their list says more clearly than DVC what is wrong."""
    address = f"{remote.rstrip('/')}/{place(digest)}"
    try:
        content = read_object(address) if remote.startswith("s3://") else Path(address).read_bytes()
    except (StorageError, OSError) as error:
        raise ServiceError(f"{address}: no such version; was it pushed? (see `rmtl doctor`)") from error
    if f"{hashlib.md5(content).hexdigest()}.dir" != digest:
        raise ServiceError(f"{address}: altered since it was pushed; delete it there and push the version again")
    return {entry["md5"] for entry in json.loads(content)}


def _settings(remote: str) -> str:
    """Text of a DVC configuration that checks what it fetches."""
    address = remote if "://" in remote else str(Path(remote).resolve())
    lines = ["[core]", "    analytics = false", "    no_scm = true", "    remote = origin"]
    options = OPTIONS if remote.startswith("s3://") else {"verify": "true"}
    lines += [
        "['remote \"origin\"']",
        f"    url = {address}",
        *(f"    {key} = {value}" for key, value in options.items()),
    ]
    lines += ["[cache]", "    type = hardlink,copy"]
    if os.environ.get(CACHE):
        lines += [f"    dir = {Path(os.environ[CACHE]).resolve()}"]
    return "\n".join(lines) + "\n"


def _dvc(project: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=dvc_environment())
    if not result.returncode:
        return
    for reason in map(os.strerror, FULL):
        if reason in result.stderr:
            folder = Path(os.environ.get(CACHE) or project.parent)
            free = shutil.disk_usage(folder).free
            raise StorageError(f"{folder}: {reason} ({free} bytes free) on `dvc pull`; make room and run again")
    raise ServiceError(f"dvc {' '.join(arguments[:2])}: {result.stderr.strip()}; see `rmtl doctor`")
