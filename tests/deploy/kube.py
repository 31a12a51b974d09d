"""An API server with KServe in it, as far as the deployment asks: kmock, versions, and what the controller reports."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import kmock
import yaml

SERVICES = kmock.resource("serving.kserve.io/v1beta1/inferenceservices")
PODS = kmock.resource("v1/pods")
NAMESPACE = "team"

Body = dict[str, Any]


def ready(url: str = "http://faces.team.example.org") -> Body:
    """Status of a service that serves its newest revision."""
    return {
        "url": url,
        "address": {"url": "http://127.0.0.1:9/nobody"},
        "observedGeneration": 7,
        "deploymentMode": "Knative",
        "conditions": [{"type": "PredictorReady", "status": "True"}, {"type": "Ready", "status": "True"}],
    }


def pod_of(service: Body, **status: Any) -> Body:
    """A pod that the controller makes of a service; ready where no other status is given."""
    predictor = service["spec"]["predictor"]
    labels = {"serving.kserve.io/inferenceservice": service["metadata"]["name"]} | predictor.get("labels", {})
    sound = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": f"{service['metadata']['name']}-0", "labels": labels}, "status": status or sound}


class Kube:
    """The server's state; tests set what the controller reports, and look at the bodies that came."""

    def __init__(self) -> None:
        self.url = ""
        self.services: dict[str, Body] = {}
        self.status: Callable[[Body], Body] = lambda _: ready()
        self.pods: Callable[[Body], list[Body]] = lambda service: [pod_of(service)]
        self.sent: list[tuple[str, Body]] = []
        self.conflicts = 0
        self.failures: list[int] = []
        self.forbidden: set[str] = set()

    def serve_on(self, handler: kmock.KubernetesEmulator) -> None:
        """The requests that the deployment makes."""
        handler["get", SERVICES] << self._get
        handler["post", SERVICES] << self._post
        handler["put", SERVICES] << self._put
        handler["get", PODS] << self._list_pods

    def _check(self, request: kmock.Request) -> None:
        if self.failures:
            raise kmock.KubernetesError(status=self.failures.pop(0), reason="Busy", message="etcd is slow")
        verb = {"GET": "get", "POST": "create", "PUT": "update"}[str(request.method.value)]
        if f"{verb} {request.resource.plural}" in self.forbidden:
            message = f'{request.resource.plural} is forbidden: User "rmtl" cannot {verb} resource'
            raise kmock.KubernetesError(status=403, reason="Forbidden", message=message)

    def _get(self, request: kmock.Request) -> Body:
        self._check(request)
        if request.name not in self.services:
            raise kmock.KubernetesObjectNotFoundError()
        service = deepcopy(self.services[request.name])
        return service | {"status": self.status(service)}

    def _post(self, request: kmock.Request) -> Body:
        self._check(request)
        return self._store("create", request.data, generation=1)

    def _put(self, request: kmock.Request) -> Body:
        self._check(request)
        current = self.services[request.name]["metadata"]
        if self.conflicts:
            self.conflicts -= 1
            current["resourceVersion"] = str(int(current["resourceVersion"]) + 1)
        if request.data["metadata"]["resourceVersion"] != current["resourceVersion"]:
            raise kmock.KubernetesError(status=409, reason="Conflict", message="the object has been modified")
        return self._store("update", request.data, generation=current["generation"] + 1)

    def _store(self, verb: str, body: Body, *, generation: int) -> Body:
        self.sent.append((verb, deepcopy(body)))
        body["metadata"] |= {"generation": generation, "resourceVersion": str(100 + len(self.sent))}
        self.services[body["metadata"]["name"]] = body
        return body

    def _list_pods(self, request: kmock.Request) -> Body:
        self._check(request)
        wanted = dict(part.split("=") for part in request.params["labelSelector"].split(","))
        pods = [pod for service in self.services.values() for pod in self.pods(service)]
        return {"items": [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]}


@contextmanager
def running() -> Iterator[Kube]:
    """The server on a port of 127.0.0.1, in a thread of its own."""
    kube, up, done = Kube(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with kmock.KubernetesEmulator() as handler, kmock.Server(handler) as server:
            kube.serve_on(handler)
            kube.url = str(server.url)
            up.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(20)
    yield kube
    loop.call_soon_threadsafe(done.set)
    thread.join(20)
    loop.close()


def kubeconfig(folder: Path, url: str) -> Path:
    """A client's configuration for a server without keys."""
    path = folder / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": NAMESPACE}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "x", "context": context}],
        "users": [{"name": "u", "user": {"token": "no-secret"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path
