"""Secrets in the tracked files and in everything that the Git history ever held."""

import subprocess
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from model.errors import GateError
from supply.policy import Secret, expired

DETECTORS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SlackDetector",
)
"""None by entropy: digests of data and weights are everywhere here, and are no secrets."""
MAX_BYTES = 1 << 20
"""Larger texts are tables and archives."""

_REFERENCE = r"""\bsecret(Name["']?: ["']?[a-z]+(-[a-z0-9]+)*|Key["']?: ["']?[A-Z]+(_[A-Z0-9]+)*)["']?,?\s*$"""
"""A manifest that names a Secret object of the cluster, or a key of it, not its content."""

_SETTINGS: dict[str, list[dict[str, object]]] = {
    "plugins_used": [{"name": name} for name in DETECTORS],
    "filters_used": [
        {"path": "detect_secrets.filters.allowlist.is_line_allowlisted"},
        {"path": "detect_secrets.filters.heuristic.is_sequential_string"},
        {"path": "detect_secrets.filters.heuristic.is_templated_secret"},
        {"path": "detect_secrets.filters.heuristic.is_indirect_reference"},
        {"path": "detect_secrets.filters.regex.should_exclude_line", "pattern": [_REFERENCE]},
    ],
}


class Leak(NamedTuple):
    """Something that looks like a secret: where it is or was, what it looks like, and the SHA-1 of its text."""

    path: str
    line: int
    kind: str
    digest: str


def scan(repository: Path, *, history: bool = True) -> list[Leak]:
    """Every find in the index and, with `history`, in each version of each file that a commit holds; no doubles."""
    blobs = _staged(repository) | (_committed(repository) if history else {})
    with TemporaryDirectory() as scratch:
        found = {(leak.path, leak.digest): leak for leak in _scan_blobs(repository, blobs, Path(scratch))}
    return sorted(found.values())


def judge(leaks: Iterable[Leak], exceptions: Iterable[Secret], today: date) -> None:
    """Accept finds that the policy explains.

    Raises:
        GateError: names each other find, and exceptions past their date.
    """
    known = {(item.path, item.digest): item for item in exceptions}
    faults = [
        f"{leak.path}:{leak.line}: {leak.kind} (SHA-1 {leak.digest})"
        for leak in leaks
        if (leak.path, leak.digest) not in known
    ]
    if faults := [*faults, *expired(known.values(), today)]:
        advice = "a real secret is revoked first, then removed; a false find goes into supply/policy.toml"
        raise GateError("\n".join([f"{len(faults)} possible secret(s): {advice}", *faults]))


def _scan_blobs(repository: Path, blobs: dict[str, str], scratch: Path) -> Iterator[Leak]:
    with transient_settings(_SETTINGS):
        for digest, path in blobs.items():
            content = _git(repository, "cat-file", "blob", digest)
            if b"\0" in content[:8000] or len(content) > MAX_BYTES:
                continue
            # Detectors look at the ending of the name.
            copy = scratch / f"blob{Path(path).suffix}"
            copy.write_bytes(content)
            for secret in scan_file(str(copy)):
                yield Leak(path, secret.line_number, secret.type, secret.secret_hash)


def _staged(repository: Path) -> dict[str, str]:
    """Path of each file in the index, by digest."""
    lines = _git(repository, "ls-files", "--stage").decode().splitlines()
    return {line.split()[1]: line.partition("\t")[2] for line in lines}


def _committed(repository: Path) -> dict[str, str]:
    """Path of each file version of the history, by digest."""
    command = ("rev-list", "--objects", "--all", "--filter=object:type=blob", "--filter-provided-objects")
    lines = _git(repository, *command).decode().splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _git(repository: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout
