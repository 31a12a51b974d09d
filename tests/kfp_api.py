"""The objects that a Kubeflow Pipelines API server (2.17, v2beta1) keeps, and what it answers about them.

Modelled on these files of the server (kubeflow/pipelines, below backend/src/apiserver):
- server/experiment_server.go, resource/resource_manager.go: names, duplicates, namespaces;
- server/pipeline_server.go, server/pipeline_upload_server.go: pipelines, versions, `uploadfile`;
- server/run_server.go, server/job_server.go, server/api_converter.go: runs and recurring runs; task details hold names
  of nodes, states, times, children, but no texts of errors and no pods of their own (kubeflow/pipelines issue 14007);
- server/list_request_util.go, validation/length.go: pages, filters, lengths;
- server/run_log_server.go: the log of a pod by run and node;
- main.go: routes.

Not modelled: authorization by namespace, archives, Argo; what comes after submission is a script that a test writes.
"""

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.kfp_nodes import Frame, details
from tests.kfp_requests import (
    RefusalError,
    Request,
    authenticate,
    body_of,
    keep,
    known,
    named,
    page,
    place_of,
    recurring,
    refusal,
    uploaded,
    within_length,
)
from tests.kfp_rules import InvalidInputError, Package, check_arguments, parse_documents

API = "/apis/v2beta1"
Store = dict[str, dict[str, Any]]


class KfpApi:
    """A server without its HTTP.

    Attributes:
        script: what a run shows, a frame each time somebody looks; the last one stays.
        logs: what the pod of a node wrote, by node.
        requests: all that came in.
    """

    def __init__(self, *, token: str | None, multi_user: bool) -> None:
        self.token, self.multi_user = token, multi_user
        self.script: Sequence[Frame] = (Frame("PENDING"), Frame("RUNNING"), Frame("SUCCEEDED"))
        self.logs: dict[str, str] = {}
        self.requests: list[Request] = []
        self.experiments: Store = {}
        self.pipelines: Store = {}
        self.versions: Store = {}
        self.packages: dict[str, Package] = {}
        self.runs: Store = {}
        self.recurring_runs: Store = {}
        self._looks: dict[str, int] = {}
        self._lock = threading.Lock()

    def writes(self) -> list[tuple[str, str]]:
        """Method and path, below the API's own, of every request that was to change something."""
        return [(item.method, item.path.removeprefix(API)) for item in self.requests if item.method != "GET"]

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status, and JSON value or text, for a request."""
        with self._lock:
            self.requests.append(request)
            try:
                authenticate(request, self.token if request.path != f"{API}/healthz" else None)
                return 200, self._route(request)
            except InvalidInputError as error:
                return 400, refusal(400, f"Invalid input error: {error}", request)
            except RefusalError as error:
                return error.status, refusal(error.status, str(error), request)

    def _route(self, request: Request) -> Any:
        for method, pattern, handle in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                return handle(self, request, *match.groups())
        raise RefusalError(404, "Not Found")

    def healthz(self, _: Request) -> Any:
        return {"commit_sha": "unknown", "tag_name": "2.17.0", "multi_user": self.multi_user}

    def list_experiments(self, request: Request) -> Any:
        place = place_of(request.query.get("namespace"), self.multi_user)
        return page(request, "experiments", [item for item in self.experiments.values() if item["namespace"] == place])

    def create_experiment(self, request: Request) -> Any:
        body = body_of(request, "V2beta1Experiment")
        name, place = named(body, "experiment"), place_of(body.get("namespace"), self.multi_user)
        if any(item["display_name"] == name and item["namespace"] == place for item in self.experiments.values()):
            raise RefusalError(409, f"Already exist error: Experiment {name} already exists")
        return keep(self.experiments, "experiment_id", {**body, "namespace": place, "storage_state": "AVAILABLE"})

    def get_experiment(self, _: Request, experiment_id: str) -> Any:
        return known(self.experiments, experiment_id, "Experiment")

    def list_pipelines(self, request: Request) -> Any:
        place = request.query.get("namespace", "") if self.multi_user else ""
        return page(request, "pipelines", [item for item in self.pipelines.values() if item["namespace"] == place])

    def create_pipeline(self, request: Request) -> Any:
        body = body_of(request, "V2beta1Pipeline")
        return self._new_pipeline(named(body, "pipeline"), body.get("namespace", ""))

    def get_pipeline(self, _: Request, pipeline_id: str) -> Any:
        return known(self.pipelines, pipeline_id, "Pipeline")

    def upload_pipeline(self, request: Request) -> Any:
        package = uploaded(request)
        name = request.query.get("name") or package.name
        made = self._new_pipeline(name, request.query.get("namespace", ""))
        self._new_version(made["pipeline_id"], name, package)
        return made

    def upload_version(self, request: Request) -> Any:
        package = uploaded(request)
        pipeline_id = request.query.get("pipelineid", "")
        if pipeline_id not in self.pipelines:
            raise InvalidInputError("Failed to create a pipeline version")
        return self._new_version(pipeline_id, request.query.get("name") or package.name, package)

    def list_versions(self, request: Request, pipeline_id: str) -> Any:
        known(self.pipelines, pipeline_id, "Pipeline")
        found = [item for item in self.versions.values() if item["pipeline_id"] == pipeline_id]
        return page(request, "pipeline_versions", found)

    def get_version(self, _: Request, pipeline_id: str, version_id: str) -> Any:
        known(self.pipelines, pipeline_id, "Pipeline")
        return known(self.versions, version_id, "PipelineVersion")

    def create_run(self, request: Request) -> Any:
        body = body_of(request, "V2beta1Run")
        made = {**body, **self._started(body, "run"), "state": "PENDING", "storage_state": "AVAILABLE"}
        return keep(self.runs, "run_id", made)

    def list_runs(self, request: Request) -> Any:
        wanted = request.query.get("experiment_id")
        return page(request, "runs", [run for run in self.runs.values() if wanted in (None, "", run["experiment_id"])])

    def get_run(self, _: Request, run_id: str) -> Any:
        run = known(self.runs, run_id, "Run")
        looked = self._looks.get(run_id, 0)
        self._looks[run_id] = looked + 1
        frame = self.script[min(looked, len(self.script) - 1)]
        run["state"] = frame.state
        run["run_details"] = {"task_details": details(run, frame)}
        if frame.error:
            run["error"] = {"code": 13, "message": frame.error}
        return run

    def read_log(self, _: Request, run_id: str, node_id: str) -> Any:
        known(self.runs, run_id, "Run")
        if node_id not in self.logs:
            raise RefusalError(500, f"Failed to read logs for run {run_id}: pod {node_id} not found")
        return self.logs[node_id]

    def create_recurring_run(self, request: Request) -> Any:
        body = body_of(request, "V2beta1RecurringRun")
        made = {**body, **self._started(body, "recurring run"), **recurring(body)}
        return keep(self.recurring_runs, "recurring_run_id", made)

    def list_recurring_runs(self, request: Request) -> Any:
        wanted = request.query.get("experiment_id")
        found = [item for item in self.recurring_runs.values() if wanted in (None, "", item["experiment_id"])]
        return page(request, "recurringRuns", found)

    def get_recurring_run(self, _: Request, schedule_id: str) -> Any:
        return known(self.recurring_runs, schedule_id, "Job")

    def delete_recurring_run(self, _: Request, schedule_id: str) -> Any:
        known(self.recurring_runs, schedule_id, "Job")
        del self.recurring_runs[schedule_id]
        return {}

    def switch_recurring_run(self, _: Request, schedule_id: str, mode: str) -> Any:
        item = known(self.recurring_runs, schedule_id, "Job")
        item.update(mode=mode.upper(), status=f"{mode.upper()}D")
        return {}

    def _new_pipeline(self, name: str, namespace: str) -> dict[str, Any]:
        place = namespace if self.multi_user else ""
        within_length(name, "pipeline")
        if any(item["display_name"] == name and item["namespace"] == place for item in self.pipelines.values()):
            raise RefusalError(409, "Failed to create a pipeline and a pipeline version")
        return keep(self.pipelines, "pipeline_id", {"display_name": name, "namespace": place})

    def _new_version(self, pipeline_id: str, name: str, package: Package) -> dict[str, Any]:
        within_length(name, "version")
        if any(item["display_name"] == name and item["pipeline_id"] == pipeline_id for item in self.versions.values()):
            raise RefusalError(409, "Failed to create a pipeline version")
        value = {"pipeline_id": pipeline_id, "display_name": name, "pipeline_spec": package.as_json()}
        made = keep(self.versions, "pipeline_version_id", value)
        self.packages[made["pipeline_version_id"]] = package
        return made

    def _started(self, body: dict[str, Any], what: str) -> dict[str, Any]:
        """Checks that runs and recurring runs share; returns the experiment."""
        if not body.get("display_name"):
            raise InvalidInputError(f"The {what} name is empty. Please specify a valid name")
        experiment = known(self.experiments, body.get("experiment_id", ""), "Experiment")
        given = [name for name in ("pipeline_spec", "pipeline_version_reference") if body.get(name)]
        if len(given) != 1:
            raise InvalidInputError(f"a {what} needs one pipeline source, found {given or 'none'}")
        package = self._package(body)
        check_arguments(package, (body.get("runtime_config") or {}).get("parameters") or {})
        return {"experiment_id": experiment["experiment_id"]}

    def _package(self, body: dict[str, Any]) -> Package:
        if body.get("pipeline_spec"):
            spec = body["pipeline_spec"]
            parts = [spec.get("pipeline_spec"), spec.get("platform_spec")] if "pipeline_spec" in spec else [spec]
            return parse_documents([part for part in parts if part])
        reference = body["pipeline_version_reference"]
        version = known(self.versions, reference.get("pipeline_version_id", ""), "PipelineVersion")
        if version["pipeline_id"] != reference.get("pipeline_id"):
            raise InvalidInputError("the pipeline version belongs to another pipeline")
        return self.packages[version["pipeline_version_id"]]


_ID = "([^/:]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", f"{API}/healthz", KfpApi.healthz),
    ("GET", f"{API}/experiments", KfpApi.list_experiments),
    ("POST", f"{API}/experiments", KfpApi.create_experiment),
    ("GET", f"{API}/experiments/{_ID}", KfpApi.get_experiment),
    ("POST", f"{API}/pipelines/upload", KfpApi.upload_pipeline),
    ("POST", f"{API}/pipelines/upload_version", KfpApi.upload_version),
    ("GET", f"{API}/pipelines", KfpApi.list_pipelines),
    ("POST", f"{API}/pipelines", KfpApi.create_pipeline),
    ("GET", f"{API}/pipelines/{_ID}", KfpApi.get_pipeline),
    ("GET", f"{API}/pipelines/{_ID}/versions", KfpApi.list_versions),
    ("GET", f"{API}/pipelines/{_ID}/versions/{_ID}", KfpApi.get_version),
    ("GET", f"{API}/runs", KfpApi.list_runs),
    ("POST", f"{API}/runs", KfpApi.create_run),
    ("GET", f"{API}/runs/{_ID}", KfpApi.get_run),
    ("GET", f"/apis/v1alpha1/runs/{_ID}/nodes/{_ID}/log", KfpApi.read_log),
    ("GET", f"{API}/recurringruns", KfpApi.list_recurring_runs),
    ("POST", f"{API}/recurringruns", KfpApi.create_recurring_run),
    ("GET", f"{API}/recurringruns/{_ID}", KfpApi.get_recurring_run),
    ("DELETE", f"{API}/recurringruns/{_ID}", KfpApi.delete_recurring_run),
    ("POST", f"{API}/recurringruns/{_ID}:(enable|disable)", KfpApi.switch_recurring_run),
)
