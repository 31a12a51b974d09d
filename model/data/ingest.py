"""Fetch one data version, named by its DVC digest, from a DVC remote; no Git repository is needed."""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from model.errors import ConfigError, ServiceError
from model.storage import atomic_path


def fetch_version(digest: str, *, remote: str, out: Path) -> str:
    """Write the folder behind a `data.dvc` digest to `out`, checked against that digest by DVC.

    Args:
        digest: the `md5` of data.dvc, ending in `.dir`.
        remote: `s3://bucket/prefix` or a folder. Keys and endpoint come from the usual AWS variables.

    Returns:
        The digest.

    Raises:
        ConfigError: the digest has not DVC's form.
        ServiceError: the remote cannot be reached, lacks the version, or holds altered bytes; what was fetched before
            is used again.
    """
    name, suffix = digest.removesuffix(".dir"), digest[-4:]
    if suffix != ".dir" or len(name) != 32:
        raise ConfigError(f"data version {digest!r}: need the md5 of data.dvc, 32 digits and `.dir`")
    with TemporaryDirectory() as scratch, atomic_path(out) as target:
        project = Path(scratch)
        pointer = {"outs": [{"md5": digest, "hash": "md5", "path": "data"}]}
        (project / "data.dvc").write_text(yaml.safe_dump(pointer))
        address = remote if "://" in remote else str(Path(remote).resolve())
        _dvc(project, "init", "--no-scm", "--quiet")
        _dvc(project, "remote", "add", "--default", "--quiet", "origin", address)
        _dvc(project, "remote", "modify", "--quiet", "origin", "verify", "true")
        _dvc(project, "config", "cache.type", "hardlink,copy")
        _dvc(project, "pull", "--quiet")
        shutil.move(project / "data", target)
    return digest


def _dvc(project: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ServiceError(f"dvc {' '.join(arguments[:2])}: {result.stderr.strip()}; see `rmtl doctor`")
