"""Submit runs to a Kubeflow Pipelines server.

A pipeline is uploaded once for each compiled content: as a version of the pipeline of its compiled name, named after
the release and the digest of the YAML; a digest that is already there is used again. Runs refer to that version instead
of carrying the YAML themselves, so that in the user interface runs of one version stand together, can be compared, and
cloned with other values, and versions can be told apart.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import model
from model.errors import ConfigError
from model.storage import digest_file
from pipelines.server import Connection, OutageError, present

PAGE = 100


@dataclass(frozen=True)
class Version:
    """A pipeline version that the server has."""

    pipeline_id: str
    version_id: str
    pipeline: str
    name: str


@dataclass(frozen=True)
class Run:
    """A run that was accepted."""

    run_id: str
    url: str
    version: Version


def upload(package: Path, connection: Connection) -> Version:
    """The version with the content of `package`; makes pipeline and version where they are missing."""
    pipeline = str(next(yaml.safe_load_all(package.read_text()))["pipelineInfo"]["name"])
    name = f"{model.__version__}-{digest_file(package)[:12]}"
    pipeline_id = _pipeline(pipeline, connection)

    def find() -> str | None:
        method = connection.client.pipelines.pipeline_service_list_pipeline_versions
        versions = listed(method, "pipeline_versions", connection, pipeline_id=pipeline_id)
        return next((item.pipeline_version_id for item in versions if item.display_name == name), None)

    def make() -> str:
        method = connection.client.pipeline_uploads.upload_pipeline_version
        answer = connection.ask(method, uploadfile=str(package), name=name, pipelineid=pipeline_id)
        return present(answer, "pipeline_version_id", connection.server)

    return Version(pipeline_id, _found_or_made(find, make), pipeline, name)


def submit(version: Version, arguments: Mapping[str, Any], *, title: str, connection: Connection) -> Run:
    """Start a run in the configured experiment, which is made where it is missing."""
    body = connection.client.api_models.V2beta1Run(display_name=title, **source(version, arguments, connection))
    try:
        answer = connection.ask(connection.client.runs.run_service_create_run, run=body)
    except OutageError as error:
        raise OutageError(f"{error}; a run called {title!r} may have begun: look before you submit again") from error
    run_id = present(answer, "run_id", connection.server)
    return Run(run_id, run_url(run_id, connection), version)


def run_title(pipeline: str, data_version: str) -> str:
    """Name of a run in lists: what, with which data, when."""
    return f"{pipeline} {data_version[:12]} {time.strftime('%Y-%m-%d %H:%M:%S')}"


def run_url(run_id: str, connection: Connection) -> str:
    """Page of a run in the server's user interface."""
    return f"{connection.server.host}/#/runs/details/{run_id}"


def source(version: Version, arguments: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """Fields that runs and recurring runs share: what to run, with what, where and as whom."""
    models = connection.client.api_models
    reference = models.V2beta1PipelineVersionReference(
        pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
    )
    return {
        "experiment_id": experiment_id(connection),
        "pipeline_version_reference": reference,
        "runtime_config": models.V2beta1RuntimeConfig(parameters=dict(arguments)),
        "service_account": connection.server.service_account,
    }


def experiment_id(connection: Connection) -> str:
    """Id of the configured experiment, which is made where it is missing."""
    api, name, place = connection.client.experiments, connection.server.experiment, _place(connection)

    def find() -> str | None:
        method = api.experiment_service_list_experiments
        return next((item.experiment_id for item in listed(method, "experiments", connection, name, **place)), None)

    def make() -> str:
        body = connection.client.api_models.V2beta1Experiment(display_name=name, **place)
        answer = connection.ask(api.experiment_service_create_experiment, experiment=body)
        return present(answer, "experiment_id", connection.server)

    return _found_or_made(find, make)


def listed(
    method: Callable[..., Any], field: str, connection: Connection, name: str | None = None, **arguments: Any
) -> Iterator[Any]:
    """Every item of a list that comes in pages; `name` asks for those of one name."""
    if name:
        predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
        arguments["filter"] = json.dumps({"predicates": [predicate]})
    token = ""
    while True:
        answer = connection.ask(method, page_size=PAGE, page_token=token, **arguments)
        yield from filter(None, getattr(answer, field) or ())
        token = answer.next_page_token or ""
        if not token:
            return


def _pipeline(name: str, connection: Connection) -> str:
    api, place = connection.client.pipelines, _place(connection)

    def find() -> str | None:
        method = api.pipeline_service_list_pipelines
        return next((item.pipeline_id for item in listed(method, "pipelines", connection, name, **place)), None)

    def make() -> str:
        body = connection.client.api_models.V2beta1Pipeline(display_name=name, **place)
        answer = connection.ask(api.pipeline_service_create_pipeline, pipeline=body)
        return present(answer, "pipeline_id", connection.server)

    return _found_or_made(find, make)


def _found_or_made(find: Callable[[], str | None], make: Callable[[], str]) -> str:
    """Look first, and again if making is refused: somebody else may have made it in between."""
    found = find()
    if found:
        return found
    try:
        return make()
    except ConfigError:
        found = find()
        if found:
            return found
        raise


def _place(connection: Connection) -> dict[str, str]:
    return {"namespace": connection.namespace} if connection.namespace else {}
