"""From a served version back to its pictures: version, run, code, configuration, data."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from mlflow.entities.model_registry import ModelVersion as StoredVersion

from model.data.manifest import data_digest, read_manifest
from model.errors import DataContractError, RegistryError
from model.registry.client import Store, open_store
from model.registry.keys import verify_keys
from model.registry.promotion_log import PromotionLog
from model.registry.release import check_version, promotion_of
from model.registry.reports import EVALUATION_TAG, stored_report
from model.registry.signature import problem_of
from model.registry.versions import DATA_TAG, WEIGHTS_TAG, download_weights, resolve
from model.storage import digest_file
from model.weights import Meta

GIT_TAG = "git_revision"
CONFIG_TAG = "config_digest"
DVC_TAG = "dvc_md5"
LOCK_TAG = "lock_digest"

_DVC_FILE = "data.dvc"
_LOCK_FILE = "constraints.txt"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Hop:
    """One step of the walk: what it leads to, and the problem that breaks it (empty for a sound one)."""

    hop: str
    value: str
    problem: str


def origin_tags(meta: Meta, workspace: Path = Path()) -> dict[str, str]:
    """Tags that lead from a version to its origin; what cannot be told here is `unknown`."""
    lock = workspace / _LOCK_FILE
    return {
        GIT_TAG: meta.code.get("git", _UNKNOWN),
        CONFIG_TAG: _config_digest(meta),
        DVC_TAG: _dvc_md5((workspace / _DVC_FILE).read_text()) if (workspace / _DVC_FILE).is_file() else _UNKNOWN,
        LOCK_TAG: digest_file(lock) if lock.is_file() else _UNKNOWN,
    }


def run_tag(meta: Meta) -> str:
    """Name of the tag by which a run claims weights; its value is the digest of their data."""
    return f"weights.{meta.weights_digest}"


def walk(uri: str, *, manifest: Path, workspace: Path = Path()) -> list[Hop]:
    """Follow a version to its data, checking each hop.

    Args:
        uri: `models:/name@alias` or `models:/name/3`.
        manifest: the validated manifest of the workspace, compared with the version's data.
        workspace: a clone of the repository that holds the version's commit.

    Raises:
        RegistryError: no such version.
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        version = resolve(store, uri)
        meta, hops = _stored(store, version)
    if meta is None:
        return hops
    return [*hops, *_code(version, meta, workspace), *_data(version, meta, manifest)]


def verify(hops: list[Hop]) -> None:
    """Accept a walk without a broken hop.

    Raises:
        RegistryError: all broken hops, one a line.
    """
    broken = [f"  {hop.hop} {hop.value}: {hop.problem}" for hop in hops if hop.problem]
    if broken:
        raise RegistryError("\n".join([f"lineage broken at {len(broken)} of {len(hops)} hop(s)", *broken]))


def _stored(store: Store, version: StoredVersion) -> tuple[Meta | None, list[Hop]]:
    hops = [Hop("version", f"models:/{version.name}/{version.version}", "")]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            meta = download_weights(store, version, Path(scratch))
    except RegistryError as error:
        return None, [*hops, Hop("weights", version.tags.get(WEIGHTS_TAG, _UNKNOWN), str(error))]
    hops.append(Hop("weights", meta.weights_digest, ""))
    try:
        report = stored_report(store, version)
        other = report.weights_digest != meta.weights_digest
        hops.append(Hop("evaluation", report.data_digest, "measured other weights" if other else ""))
    except RegistryError as error:
        hops.append(Hop("evaluation", version.tags.get(EVALUATION_TAG, _UNKNOWN), str(error)))
    hops.append(_promotion(store, version))
    run = store.client.get_run(str(version.run_id))
    known = run.data.tags.get(run_tag(meta)) == meta.data_digest
    problem = "" if known else "the run does not name these weights and this data"
    hops.append(Hop("run", str(version.run_id), problem))
    return meta, hops


def _promotion(store: Store, version: StoredVersion) -> Hop:
    """The log's latest promotion of the version; a challenger has none, which breaks nothing."""
    try:
        promoted = promotion_of(PromotionLog.open(store, version.name).entries(), str(version.version))
        if promoted is None:
            return Hop("promotion", "none", "")
        problem = problem_of(promoted, version.name, verify_keys())
        with tempfile.TemporaryDirectory() as scratch:
            check_version(store, version.name, promoted, Path(scratch))
    except RegistryError as error:
        return Hop("promotion", _UNKNOWN, str(error))
    by = f"key {promoted.key}" if promoted.key else "no key"
    return Hop("promotion", f"entry {promoted.sequence} by {promoted.who}, {by}", problem)


def _code(version: StoredVersion, meta: Meta, workspace: Path) -> Iterator[Hop]:
    revision = version.tags.get(GIT_TAG, _UNKNOWN)
    problem = ""
    if revision != meta.code.get("git"):
        problem = f"the weights name commit {meta.code.get('git')}"
    elif _git(workspace, "cat-file", "-e", f"{revision}^{{commit}}") is None:
        problem = "no such commit in this clone; fetch it, or train from a committed tree"
    yield Hop("code", revision, problem)
    config = version.tags.get(CONFIG_TAG, _UNKNOWN)
    yield Hop("config", config, "" if config == _config_digest(meta) else "the weights hold another configuration")
    lock, committed = version.tags.get(LOCK_TAG, _UNKNOWN), _git(workspace, "show", f"{revision}:{_LOCK_FILE}")
    found = hashlib.sha256(committed).hexdigest() if committed is not None else _UNKNOWN
    yield Hop("lock", lock, "" if lock == found != _UNKNOWN else f"{_LOCK_FILE} of the commit is {found[:12]}")
    dvc, committed = version.tags.get(DVC_TAG, _UNKNOWN), _git(workspace, "show", f"{revision}:{_DVC_FILE}")
    found = _dvc_md5(committed.decode()) if committed is not None else _UNKNOWN
    yield Hop("dvc", dvc, "" if dvc == found != _UNKNOWN else f"{_DVC_FILE} of the commit is {found}")


def _data(version: StoredVersion, meta: Meta, manifest: Path) -> Iterator[Hop]:
    tagged = version.tags.get(DATA_TAG, _UNKNOWN)
    yield Hop("data", tagged, "" if tagged == meta.data_digest else f"the weights name data {meta.data_digest}")
    try:
        found = data_digest(read_manifest(manifest))
    except DataContractError as error:
        yield Hop("manifest", str(manifest), str(error))
        return
    problem = f"holds data {found}; `dvc checkout` the version's commit" if found != meta.data_digest else ""
    yield Hop("manifest", str(manifest), problem)


def _config_digest(meta: Meta) -> str:
    return hashlib.sha256(json.dumps(meta.config, sort_keys=True).encode()).hexdigest()


def _dvc_md5(text: str) -> str:
    try:
        return str(yaml.safe_load(text)["outs"][0]["md5"])
    except (yaml.YAMLError, LookupError, TypeError):
        return _UNKNOWN


def _git(workspace: Path, *arguments: str) -> bytes | None:
    command = ["git", "-C", str(workspace), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
