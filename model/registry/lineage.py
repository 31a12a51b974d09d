"""From an answer back to its pictures: version, what was made of it, run, code, configuration, data."""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion as StoredVersion
from mlflow.exceptions import MlflowException

from model.data.manifest import data_digest, read_manifest
from model.errors import DataContractError, RegistryError
from model.registry.answers import find_version
from model.registry.client import Store, open_store
from model.registry.delivery import Endpoint, Registered, Served, archive_hops, served_hop
from model.registry.hop import UNKNOWN, Hop, committed, git
from model.registry.keys import verify_keys
from model.registry.origin import (
    CONFIG_TAG,
    DVC_FILE,
    DVC_TAG,
    GIT_TAG,
    LOCK_FILE,
    LOCK_TAG,
    config_digest,
    dvc_md5,
    run_tag,
)
from model.registry.promotion_log import PromotionLog
from model.registry.release import check_version, promotion_of
from model.registry.reports import EVALUATION_TAG, stored_report
from model.registry.signature import problem_of
from model.registry.stage import STAGE_TAG, stage_hop
from model.registry.versions import DATA_TAG, WEIGHTS_TAG, download_weights, name_of, resolve
from model.serving.schema import Origin
from model.weights import Meta


@dataclass(frozen=True)
class Places:
    """Where a walk looks beside the registry.

    Attributes:
        manifest: the validated manifest of the workspace, compared with the version's data.
        archives: folders that may hold archives of the version.
        endpoint: a deployment that may serve the version.
        workspace: a clone of the repository that holds the version's commit.
    """

    manifest: Path
    archives: tuple[Path, ...] = ()
    endpoint: Endpoint | None = None
    workspace: Path = Path()


def walk(uri: str, places: Places, *, served: Served | None = None) -> list[Hop]:
    """Follow a version to its data, and to what was made of it, checking each hop.

    Args:
        uri: `models:/name@alias` or `models:/name/3`.
        served: what an endpoint has answered, in the place of the deployment.

    Raises:
        RegistryError: no such version.
        ServiceError: MLflow is out of reach.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with open_store() as store:
            version = resolve(store, uri)
            meta, hops = _stored(store, version, folder)
        if meta is None:
            return hops
        registered = Registered(str(version.version), folder, meta)
        return [
            *hops,
            *archive_hops(places.archives, registered),
            served_hop(places.endpoint, served, registered),
            *_code(version, meta, places.workspace),
            stage_hop(version.tags.get(STAGE_TAG, UNKNOWN), folder, meta, places.workspace),
            *_data(version, meta, places.manifest),
        ]


def walk_answers(origins: list[Origin], name: str, places: Places, *, served: Served | None = None) -> list[Hop]:
    """Follow answers to the versions of the model `name` that they come from, and these as `walk` does.

    Raises:
        ServiceError: MLflow is out of reach.
    """
    hops = []
    for origin in origins:
        with open_store() as store:
            version, hop = find_version(store, name, origin)
        hops.append(hop)
        if version is not None:
            hops += walk(name_of(version), places, served=served)
    return hops


def verify(hops: list[Hop]) -> None:
    """Accept a walk without a broken hop.

    Raises:
        RegistryError: all broken hops, one a line.
    """
    broken = [f"  {hop.hop} {hop.value}: {hop.problem}" for hop in hops if hop.problem]
    if broken:
        raise RegistryError("\n".join([f"lineage broken at {len(broken)} of {len(hops)} hop(s)", *broken]))


def _stored(store: Store, version: StoredVersion, folder: Path) -> tuple[Meta | None, list[Hop]]:
    """The hops inside the registry; without sound weights, which `folder` takes, there is no way on."""
    hops = [Hop("version", name_of(version), "")]
    try:
        meta = download_weights(store, version, folder)
    except RegistryError as error:
        return None, [*hops, Hop("weights", version.tags.get(WEIGHTS_TAG, UNKNOWN), str(error))]
    hops.append(Hop("weights", meta.weights_digest, ""))
    try:
        report = stored_report(store, version)
        other = report.weights_digest != meta.weights_digest
        hops.append(Hop("evaluation", report.data_digest, "measured other weights" if other else ""))
    except RegistryError as error:
        hops.append(Hop("evaluation", version.tags.get(EVALUATION_TAG, UNKNOWN), str(error)))
    hops.append(_promotion(store, version))
    hops.append(_run(store, version, meta))
    return meta, hops


def _run(store: Store, version: StoredVersion, meta: Meta) -> Hop:
    try:
        run = store.client.get_run(str(version.run_id))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return Hop("run", str(version.run_id), "the run is gone; restore the tracking database from a backup")
    known = run.data.tags.get(run_tag(meta)) == meta.data_digest
    return Hop("run", str(version.run_id), "" if known else "the run does not name these weights and this data")


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
        return Hop("promotion", UNKNOWN, str(error))
    by = f"key {promoted.key}" if promoted.key else "no key"
    return Hop("promotion", f"entry {promoted.sequence} by {promoted.who}, {by}", problem)


def _code(version: StoredVersion, meta: Meta, workspace: Path) -> Iterator[Hop]:
    revision = version.tags.get(GIT_TAG, UNKNOWN)
    problem = ""
    if revision != meta.code.get("git"):
        problem = f"the weights name commit {meta.code.get('git')}"
    elif git(workspace, "cat-file", "-e", f"{revision}^{{commit}}") is None:
        problem = "no such commit in this clone; fetch it, or train from a committed tree"
    yield Hop("code", revision, problem)
    config = version.tags.get(CONFIG_TAG, UNKNOWN)
    yield Hop("config", config, "" if config == config_digest(meta) else "the weights hold another configuration")
    lock, content = version.tags.get(LOCK_TAG, UNKNOWN), committed(workspace, revision, LOCK_FILE)
    found = hashlib.sha256(content).hexdigest() if content is not None else UNKNOWN
    yield Hop("lock", lock, "" if lock == found != UNKNOWN else f"{LOCK_FILE} of the commit is {found[:12]}")
    dvc, content = version.tags.get(DVC_TAG, UNKNOWN), committed(workspace, revision, DVC_FILE)
    found = dvc_md5(content.decode()) if content is not None else UNKNOWN
    yield Hop("dvc", dvc, "" if dvc == found != UNKNOWN else f"{DVC_FILE} of the commit is {found}")


def _data(version: StoredVersion, meta: Meta, manifest: Path) -> Iterator[Hop]:
    tagged = version.tags.get(DATA_TAG, UNKNOWN)
    yield Hop("data", tagged, "" if tagged == meta.data_digest else f"the weights name data {meta.data_digest}")
    try:
        found = data_digest(read_manifest(manifest))
    except DataContractError as error:
        yield Hop("manifest", str(manifest), str(error))
        return
    problem = f"holds data {found}; `dvc checkout` the version's commit" if found != meta.data_digest else ""
    yield Hop("manifest", str(manifest), problem)
