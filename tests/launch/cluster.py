"""An API server with Kubeflow Trainer behind it: kmock holds the objects, and nodes are processes of this machine.

It does what the controllers do as far as a launcher sees it: a job that is created gets nodes with the environment of
the torch plugin, the job's condition follows from their exit codes, and a deleted job's nodes are asked to end.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import kmock
import yaml

from tests.schemas.validate import check

GROUP = "trainer.kubeflow.org/v1alpha1"
JOBS = kmock.resource(f"{GROUP}/trainjobs")
RUNTIMES = kmock.resource(f"{GROUP}/clustertrainingruntimes")
NAMESPACED_RUNTIMES = kmock.resource(f"{GROUP}/trainingruntimes")
PODS = kmock.resource("v1/pods")
MAPS = kmock.resource("v1/configmaps")
NAMESPACE = "team"
RUNTIME = Path(__file__).parents[2] / "deploy" / "train" / "clustertrainingruntime.yaml"
SINCE = "2026-11-24T10:00:00Z"

Body = dict[str, Any]
Start = Callable[[Body, int, Path], "subprocess.Popen[bytes]"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start_node(job: Body, rank: int, log: Path) -> "subprocess.Popen[bytes]":
    """The job's own command, with the environment of the torch plugin."""
    trainer = job["spec"]["trainer"]
    torch = {
        "PET_NNODES": str(trainer["numNodes"]),
        "PET_NODE_RANK": str(rank),
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": job["metadata"]["annotations"]["port"],
        "OMP_NUM_THREADS": "1",
    }
    # Only what the image and the job give a node: nothing of the step's environment.
    plain = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    given = {item["name"]: item["value"] for item in trainer["env"]}
    command = [sys.executable, *trainer["command"][1:], *trainer["args"]]
    with log.open("wb") as stream:
        environment = plain | given | torch
        return subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)


class Cluster:
    """State of the server; tests look at the bodies and choose how a node starts."""

    def __init__(self, logs: Path) -> None:
        self.url = ""
        self.created: list[Body] = []
        self.deleted: list[str] = []
        self.start: Start = start_node
        self.runtimes = {"residual-mtl": yaml.safe_load(RUNTIME.read_text())}
        self.jobs: dict[str, Body] = {}
        self.nodes: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._logs = logs

    def serve_on(self, handler: kmock.KubernetesEmulator) -> None:
        """The requests that the SDK makes."""
        handler["get", MAPS] << {"data": {"kubeflow_trainer_version": "2.3.0"}}
        handler["get", NAMESPACED_RUNTIMES] << _absent
        handler["get", RUNTIMES] << self._get_runtime
        handler["post", JOBS] << self._create
        handler["get", JOBS] << self._get_job
        handler["delete", JOBS] << self._delete
        handler["get", PODS, kmock.subresource("log")] << self._log
        handler["get", PODS] << self._list_pods

    def close(self) -> None:
        """End all nodes."""
        for name in list(self.nodes):
            self._end(name, signal.SIGKILL)

    def _get_runtime(self, request: kmock.Request) -> Body:
        return deepcopy(self.runtimes[request.name]) if request.name in self.runtimes else _absent(request)

    def _create(self, request: kmock.Request) -> Body:
        body = request.data
        try:
            check("TrainJob", body)
        except ValueError as problem:
            raise kmock.KubernetesError(status=422, reason="Invalid", message=str(problem)) from problem
        name = body["metadata"]["name"]
        if name in self.jobs:
            raise kmock.KubernetesError(status=409, reason="AlreadyExists", message=f"{name} already exists")
        self.created.append(deepcopy(body))
        annotations = {"port": str(free_port())}
        body["metadata"] |= {"namespace": request.namespace, "creationTimestamp": SINCE, "annotations": annotations}
        self.jobs[name] = body
        count = body["spec"]["trainer"]["numNodes"]
        self.nodes[name] = [self.start(body, rank, self._logs / f"{name}-{rank}") for rank in range(count)]
        return deepcopy(body)

    def _get_job(self, request: kmock.Request) -> Body:
        if request.name not in self.jobs:
            return _absent(request)
        codes = [node.poll() for node in self.nodes[request.name]]
        failed = any(code for code in codes)
        if not failed and None in codes:
            return deepcopy(self.jobs[request.name])
        if failed:
            self._end(request.name, signal.SIGTERM)
        kind = "Failed" if failed else "Complete"
        condition = {"type": kind, "status": "True", "reason": "Ended", "message": "", "lastTransitionTime": SINCE}
        return deepcopy(self.jobs[request.name]) | {"status": {"conditions": [condition]}}

    def _delete(self, request: kmock.Request) -> Body:
        if request.name not in self.jobs:
            return _absent(request)
        self.deleted.append(request.name)
        self._end(request.name, signal.SIGTERM)
        return self.jobs.pop(request.name)

    def _list_pods(self, request: kmock.Request) -> Body:
        wanted = request.params["labelSelector"].partition(",")[0].partition("=")[2]
        return {"kind": "PodList", "items": [self._pod(name, rank) for name, rank in self._ranks() if name == wanted]}

    def _pod(self, name: str, rank: int) -> Body:
        code = self.nodes[name][rank].poll()
        phase = "Running" if code is None else "Failed" if code else "Succeeded"
        labels = {
            "jobset.sigs.k8s.io/jobset-name": name,
            "jobset.sigs.k8s.io/replicatedjob-name": "node",
            "batch.kubernetes.io/job-completion-index": str(rank),
        }
        template = self.runtimes["residual-mtl"]["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]
        metadata = {"name": f"{name}-node-0-{rank}", "labels": labels, "creationTimestamp": SINCE}
        return {"metadata": metadata, "spec": template["spec"]["template"]["spec"], "status": {"phase": phase}}

    def _log(self, request: kmock.Request) -> bytes:
        name, _, rank = request.name.partition("-node-0-")
        return (self._logs / f"{name}-{rank}").read_bytes()

    def _ranks(self) -> list[tuple[str, int]]:
        return [(name, rank) for name, nodes in self.nodes.items() if name in self.jobs for rank in range(len(nodes))]

    def _end(self, name: str, number: signal.Signals) -> None:
        for node in self.nodes[name]:
            if node.poll() is None:
                os.killpg(node.pid, number)
                if number == signal.SIGKILL:
                    node.wait()


def _absent(_request: kmock.Request) -> Body:
    raise kmock.KubernetesObjectNotFoundError()


@contextmanager
def running(logs: Path) -> Iterator[Cluster]:
    """The server on a port of 127.0.0.1, in a thread of its own."""
    cluster, up, done = Cluster(logs), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with kmock.KubernetesEmulator() as handler, kmock.Server(handler) as server:
            cluster.serve_on(handler)
            cluster.url = str(server.url)
            up.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(20)
    try:
        yield cluster
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()
        cluster.close()
