"""A namespace of a Kubernetes cluster: an InferenceService put there, and followed until its new release serves."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

from model.errors import ConfigError, FaceError, ServiceError
from model.serving.kserve import GROUP, PLURAL, RELEASE_LABEL, VERSION, Release, build_service, update_service

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT_S = (3.0, 15.0)
BACK_OFF_S = (0.5, 1.0, 2.0)
POLL_S = 1.0
WITHOUT_SHARES = ("RawDeployment", "Standard")


class Cluster:
    """The API server of a pod's own cluster, or of the current context of KUBECONFIG.

    Raises:
        ConfigError: neither of them is there, or no namespace is known (RMTL_KSERVE_NAMESPACE).
    """

    def __init__(self) -> None:
        settings = client.Configuration()
        try:
            if NAMESPACE_FILE.is_file():
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(client_configuration=settings)
        except config.ConfigException as error:
            raise ConfigError(f"no cluster: {error}; set KUBECONFIG, or run in a pod with a service account") from error
        settings.retries = 0
        self.namespace = _namespace()
        api = client.ApiClient(settings)
        self._services = client.CustomObjectsApi(api)
        self._pods = client.CoreV1Api(api)
        self._place: dict[str, Any] = {
            "group": GROUP,
            "version": VERSION,
            "plural": PLURAL,
            "namespace": self.namespace,
        }

    def apply(self, release: Release, *, canary: int | None = None) -> None:
        """Create the service, or put the release into the one that is there.

        Raises:
            ConfigError: a canary share outside 0 to 100, or a service that cannot share its requests out.
            FaceError: the API server refuses the body, or the service is not ours.
            ServiceError: it is out of reach, forbids, knows no KServe, or the service changes all the time.
        """
        for _ in BACK_OFF_S:
            current = self.find(release.name)
            try:
                if current is None:
                    body = build_service(release, namespace=self.namespace, canary=canary)
                    self._call(self._services.create_namespaced_custom_object, **self._place, body=body)
                else:
                    if canary is not None and current.get("status", {}).get("deploymentMode") in WITHOUT_SHARES:
                        raise ConfigError(f"{release.name}: a canary share needs a service in KServe's Knative mode")
                    body = update_service(current, release, canary=canary)
                    replace = self._services.replace_namespaced_custom_object
                    self._call(replace, **self._place, name=release.name, body=body)
                return
            except _ConflictError:
                continue
        raise ServiceError(f"InferenceService {release.name}: others changed it {len(BACK_OFF_S)} times; try again")

    def wait(self, release: Release, *, limit_s: float) -> dict[str, Any]:
        """The service, once it is ready and a pod of this release is.

        Both are asked for: `observedGeneration` counts another object's changes (kserve/kserve#6081), and the
        condition stays true while old pods still serve (kserve/kserve#4626).

        Raises:
            FaceError: not ready in time, with the reasons that the cluster gives.
            ServiceError: as `apply`.
        """
        deadline = time.monotonic() + limit_s
        while True:
            service = self.find(release.name) or {}
            pods = self._pods_of(release)
            if _is_true(service, "Ready") and any(_is_true(pod, "Ready") for pod in pods):
                return service
            if time.monotonic() > deadline:
                reasons = "; ".join([*_service_reasons(service), *_pod_reasons(pods)]) or "no status yet"
                raise FaceError(
                    f"InferenceService {release.name}: version {release.version} was not ready within {limit_s:.0f} s "
                    f"(`deploy.startup_s`): {reasons}. What served before goes on serving; to undo, deploy the former "
                    f"version again, or look at `kubectl -n {self.namespace} describe inferenceservice {release.name}`"
                )
            time.sleep(POLL_S)

    def find(self, name: str) -> dict[str, Any] | None:
        """The service as the API server holds it.

        Raises:
            ServiceError: as `apply`.
        """
        try:
            found: dict[str, Any] = self._call(
                self._services.get_namespaced_custom_object, **self._place, name=name, missing=True
            )
        except _MissingError:
            return None
        return found

    def _pods_of(self, release: Release) -> list[dict[str, Any]]:
        selector = f"serving.kserve.io/inferenceservice={release.name},{RELEASE_LABEL}={release.label}"
        answer = self._call(
            self._pods.list_namespaced_pod, namespace=self.namespace, label_selector=selector, _preload_content=False
        )
        items: list[dict[str, Any]] = json.loads(answer.data)["items"]
        return items

    def _call(self, function: Callable[..., Any], *, missing: bool = False, **arguments: Any) -> Any:
        """One request, tried again while the server is away or busy."""
        problem = ""
        for pause in (*BACK_OFF_S, None):
            try:
                return function(**arguments, _request_timeout=TIMEOUT_S)
            except client.ApiException as error:
                if missing and error.status == 404:
                    raise _MissingError from error
                if error.status not in (429, 500, 502, 503, 504):
                    raise _refusal(error, self.namespace) from error
                problem = f"answers {error.status} {error.reason}"
            except urllib3.exceptions.HTTPError as error:
                problem = f"does not answer: {error}"
            if pause is not None:
                time.sleep(pause)
        raise ServiceError(f"the Kubernetes API {problem}; check KUBECONFIG and the network, then deploy again")


class _MissingError(Exception):
    """There is no such object."""


class _ConflictError(Exception):
    """The object changed since it was read, or exists by now."""


def _namespace() -> str:
    named = os.environ.get("RMTL_KSERVE_NAMESPACE")
    if named:
        return named
    if NAMESPACE_FILE.is_file():
        return NAMESPACE_FILE.read_text().strip()
    _, active = config.list_kube_config_contexts()
    found = (active or {}).get("context", {}).get("namespace")
    if not found:
        raise ConfigError("no namespace: set RMTL_KSERVE_NAMESPACE, or one in the current context of KUBECONFIG")
    return str(found)


def _refusal(error: client.ApiException, namespace: str) -> Exception:
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    match error.status:
        case 401 | 403:
            return ServiceError(f"the Kubernetes API forbids it in {namespace}: {message}; see deploy/base/role.yaml")
        case 404:
            return ServiceError(f"the Kubernetes API knows no {PLURAL} in {namespace}: {message}; is KServe installed?")
        case 409:
            return _ConflictError(message)
        case _:
            return FaceError(f"the Kubernetes API refuses the InferenceService ({error.status}): {message}")


def _is_true(thing: dict[str, Any], kind: str) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def _service_reasons(service: dict[str, Any]) -> list[str]:
    status = service.get("status", {})
    found = [
        f"{item['type']} {item['status']}: {item.get('reason', '')} {item.get('message', '')}".strip()
        for item in status.get("conditions", [])
        if item["status"] != "True" and item.get("severity") != "Info"
    ]
    failure = status.get("modelStatus", {}).get("lastFailureInfo", {})
    return [*found, f"{failure['reason']}: {failure.get('message', '')}"] if failure.get("reason") else found


def _pod_reasons(pods: list[dict[str, Any]]) -> list[str]:
    """What holds each container of the new pods up: waiting for an image, crashing, fetching the archive."""
    found = []
    for pod in pods:
        status = pod.get("status", {})
        for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
            state = container.get("state", {})
            held = state.get("waiting") or state.get("terminated") or {}
            if held.get("reason") not in (None, "Completed", "PodInitializing"):
                where = f"pod {pod['metadata']['name']}, {container['name']}"
                found.append(f"{where}: {held['reason']} {held.get('message', '')}".strip())
    return found
