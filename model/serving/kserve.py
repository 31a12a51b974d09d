"""The endpoint as a KServe InferenceService: its body, and what a new release changes in one that runs."""

import os
import re
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import model
from model.errors import ConfigError, FaceError
from model.storage import digest_bytes

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
CONTAINER = "kserve-container"
"""KServe looks for this name, and mounts what STORAGE_URI names in it at /mnt/models."""
RELEASE_LABEL = "residual-mtl/release"
LABELS = {"app.kubernetes.io/name": "residual-mtl", "app.kubernetes.io/component": "endpoint"}
PORT = 8080

_SCHEMES = ("s3://", "gs://", "pvc://")


@dataclass(frozen=True)
class Release:
    """One version of a model on its way to a cluster: `storage_uri` is the archive or the folder that holds it."""

    name: str
    version: str
    digest: str
    storage_uri: str
    image: str

    @property
    def label(self) -> str:
        """Tells the pods of this release from those of another: other weights, another image, another place."""
        content = digest_bytes(f"{self.digest} {self.image} {self.storage_uri}".encode())
        return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{self.version[:40]}-{content[:12]}").strip("-_.")


def serve_image() -> str:
    """Image of the endpoint: RMTL_SERVE_IMAGE, else `residual-mtl-serve` in this package's version.

    Raises:
        ConfigError: RMTL_SERVE_IMAGE names no tag or digest, or the tag `latest`.
    """
    image = os.environ.get("RMTL_SERVE_IMAGE") or f"residual-mtl-serve:{model.__version__}"
    name, _, tag = image.rpartition("/")[2].partition(":")
    if not name or tag in ("", "latest"):
        raise ConfigError(f"RMTL_SERVE_IMAGE={image}: pin it by a tag other than `latest`, or by a digest")
    return image


def service_name(name: str) -> str:
    """The name of a model as a DNS label."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:40]


def storage_uri(uri: str) -> str:
    """The address as KServe's storage initialiser reads it; Kubeflow Pipelines calls S3 `minio`.

    Raises:
        ConfigError: an address that it does not fetch, or would fetch without a check of who answers.
    """
    if uri.startswith("minio://"):
        return f"s3://{uri.removeprefix('minio://')}"
    if not uri.startswith(_SCHEMES):
        raise ConfigError(f"{uri}: the cluster cannot fetch the archive from there; need {', '.join(_SCHEMES)}")
    return uri


def build_service(release: Release, *, namespace: str, canary: int | None = None) -> dict[str, Any]:
    """Body of a new InferenceService, the same as `deploy/serve/custom` holds; secrets are named, never contained.

    Raises:
        ConfigError: a canary share outside 0 to 100.
    """
    body: dict[str, Any] = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "InferenceService",
        "metadata": {"name": release.name, "namespace": namespace, "labels": dict(LABELS)},
        "spec": {
            "predictor": {
                "serviceAccountName": "rmtl-serve",
                "minReplicas": 1,
                "maxReplicas": 3,
                "labels": dict(LABELS),
                "containers": [_container()],
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}],
            }
        },
    }
    return update_service(body, release, canary=canary)


def update_service(current: dict[str, Any], release: Release, *, canary: int | None = None) -> dict[str, Any]:
    """A running service's body with the new release in it; size, placement and whatever else was set stay.

    Args:
        current: as the API server gave it, with its `resourceVersion`.
        release: image, weights and labels to put in.
        canary: share of the requests in percent that the new release gets, in Knative mode; None for all.

    Raises:
        ConfigError: a canary share outside 0 to 100.
        FaceError: the service does not run our image.
    """
    if canary is not None and not 0 <= canary <= 100:
        raise ConfigError(f"canary share {canary}: need a percentage from 0 to 100")
    body = deepcopy({name: value for name, value in current.items() if name != "status"})
    metadata, predictor = body["metadata"], body["spec"]["predictor"]
    metadata.pop("managedFields", None)
    containers = [item for item in predictor.get("containers", []) if item["name"] == CONTAINER]
    if not containers:
        raise FaceError(f"InferenceService {release.name}: has no `{CONTAINER}` of ours; delete it or rename the model")
    container = containers[0]
    container["image"] = release.image
    others = [item for item in container.get("env", []) if item["name"] != "STORAGE_URI"]
    container["env"] = [{"name": "STORAGE_URI", "value": release.storage_uri}, *others]
    about = {"residual-mtl/model-version": release.version, "residual-mtl/weights-digest": release.digest}
    for part in (metadata, predictor):
        part["annotations"] = part.get("annotations", {}) | about
    predictor["labels"] = predictor.get("labels", {}) | {RELEASE_LABEL: release.label}
    predictor.pop("canaryTrafficPercent", None)
    if canary is not None:
        predictor["canaryTrafficPercent"] = canary
    return body


def _container() -> dict[str, Any]:
    token = {"secretKeyRef": {"name": "rmtl-endpoint", "key": "RMTL_ENDPOINT_TOKEN"}}
    probe = {"httpGet": {"path": "/ping", "port": PORT}, "timeoutSeconds": 5}
    return {
        "name": CONTAINER,
        "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
        "env": [{"name": "RMTL_ENDPOINT_TOKEN", "valueFrom": token}],
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**probe, "initialDelaySeconds": 120, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "3Gi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
