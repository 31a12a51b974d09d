"""The last step: a packed model behind an endpoint, on this machine or on a cluster."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from model.config import DeployConfig
from model.errors import CheckpointError, ConfigError, ServiceError
from model.schema import Box, Deployment, to_json
from model.serving.archive import read_package, unpack
from model.serving.client import EndpointClient
from model.serving.golden import differences, golden_pictures
from model.serving.kserve import Release, serve_image, service_name, storage_uri
from model.serving.predictor import Predictor
from model.serving.rollout import replace as replace_endpoint
from model.serving.session import open_session
from model.serving.tokens import asked_token
from model.storage import write_json
from model.weights import Meta, load_meta

logger = logging.getLogger(__name__)

REACH_S = 5.0
POLL_S = 1.0


@dataclass(frozen=True)
class Archive:
    """A `.mar` of `archive.package`: its file here, its address for a cluster, and the registered version in it."""

    path: Path
    uri: str
    version: str


def deploy_archive(section: DeployConfig, archive: Archive, *, target: str, state: Path, out: Path) -> Deployment:
    """Serve an archive, and write the deployment to `out` once it answers.

    Args:
        section: limits of the endpoint.
        archive: its path may be the folder that holds the `.mar`.
        target: `local` for an endpoint like that of `rmtl deploy`, which takes the place of one that runs; or `kserve`.
        state: folder of a local endpoint.
        out: JSON file.

    Raises:
        ConfigError: another target, or as `deploy_on_cluster`.
        CheckpointError: no archive, or one that is unsafe or unusable.
        ServiceError: a server out of reach, or one that forbids.
        FaceError: not ready in time.
    """
    mar = _mar(archive.path)
    match target:
        case "local":
            return replace_endpoint(section, archive=mar, state=state, report=out)
        case "kserve":
            deployment = deploy_on_cluster(section, replace(archive, path=mar))
            write_json(out, to_json(deployment))
            return deployment
        case _:
            raise ConfigError(f"deploy to {target!r}: need `local` or `kserve`")


def deploy_on_cluster(section: DeployConfig, archive: Archive, *, canary: int | None = None) -> Deployment:
    """Put an archive behind the InferenceService of its name, with all requests or `canary` percent of them.

    Namespace, image and credentials come from the environment: RMTL_KSERVE_NAMESPACE, RMTL_SERVE_IMAGE, and the pod's
    service account or KUBECONFIG. Golden answers are compared where the service can be reached from here.

    Raises:
        ConfigError: an archive that the cluster cannot fetch, no cluster or namespace, a wrong image or share.
        CheckpointError: the archive is unsafe or unusable.
        ServiceError: the API server is out of reach or forbids, or the answers differ.
        FaceError: not ready within `deploy.startup_s`.
    """
    # A second of imports that no other command needs.
    from model.serving.cluster import Cluster

    name = archive.path.stem
    with TemporaryDirectory() as scratch:
        weights = unpack(archive.path, Path(scratch) / "weights")
        package = read_package(weights)
        release = Release(
            name=service_name(name),
            version=archive.version,
            digest=package.weights_digest,
            storage_uri=storage_uri(archive.uri),
            image=serve_image(),
        )
        cluster = Cluster()
        cluster.apply(release, canary=canary)
        service = cluster.wait(release, limit_s=section.startup_s)
        if canary is None:
            _compare(section, Predictor(weights, version=package.model_version), service, name)
    url = service["status"].get("url") or service["status"]["address"]["url"]
    return Deployment(url=url, model=name, version=archive.version, pid=None, key_file=None)


def _compare(section: DeployConfig, predictor: Predictor, service: dict[str, Any], name: str) -> None:
    """Golden answers through the service's own address, where this machine reaches it and knows the token."""
    status = service["status"]
    addresses = [status.get("address", {}).get("url"), status.get("url")]
    reached = [url for url in addresses if url and _reaches(url)]
    token = asked_token()
    if not token or not reached:
        missing = "no RMTL_ENDPOINT_TOKEN" if not token else "the service cannot be reached from here"
        logger.warning("golden answers not checked: %s", missing)
        return
    deadline = time.monotonic() + section.startup_s

    def connect() -> EndpointClient:
        return EndpointClient(reached[0], model=name, token=token)

    for number, picture in enumerate(golden_pictures(section.golden)):
        wrong = differences(predictor.predict(*picture), _answer(connect, predictor.model_version, picture, deadline))
        if wrong:
            raise ServiceError(f"golden picture {number}: {reached[0]} answers otherwise: {'; '.join(wrong)}")
    logger.info("%d golden answers agree", section.golden)


def _answer(
    connect: Callable[[], EndpointClient], version: str, picture: tuple[bytes, list[Box]], deadline: float
) -> dict[str, Any]:
    """The answer of this version; until their last one has ended, pods of the former release may answer as well."""
    while True:
        # A connection that is kept leads to the same pod again.
        client = connect()
        answer, origin = client.ask(*picture)
        if origin.version == version:
            return answer
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{client.url}: version {origin.version or '?'} still answers, not {version}, after another "
                "`deploy.startup_s`; look at the pods of the former release, then deploy again"
            )
        time.sleep(POLL_S)


def _reaches(url: str) -> bool:
    try:
        return open_session(url).get(f"{url}/ping", timeout=REACH_S).status_code == 200
    except requests.RequestException:
        return False


def read_archive(archive: Path) -> Meta:
    """What the weights in an archive, or in the folder that holds it, say of themselves.

    Raises:
        CheckpointError: no archive, or one that is unsafe or unusable.
    """
    with TemporaryDirectory() as scratch:
        return load_meta(unpack(_mar(archive), Path(scratch) / "weights"))


def _mar(archive: Path) -> Path:
    if archive.is_file():
        return archive
    found = sorted(archive.glob("*.mar"))
    if len(found) != 1:
        raise CheckpointError(f"{archive}: need one archive (*.mar), found {len(found)}; `rmtl package` makes it")
    return found[0]
