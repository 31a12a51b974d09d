"""Rules by which a Kubeflow Pipelines API server (2.17, v2beta1) takes or refuses a package and its arguments.

Modelled on these files of the server (kubeflow/pipelines, below backend/src):
- apiserver/template/v2_template.go: documents, schema version, name, root, unknown fields; arguments of a run;
- v2/compiler/visitor.go: components and executors that tasks refer to, circles, a component named root;
- v2/compiler/argocompiler/dag.go: producers of inputs, resolvers and importers, a DAG of exit tasks alone.

Stricter than the server: the name's pattern has to match from end to end, a document that is neither pipeline nor
platform is refused rather than passed over, executors and platform configuration may hold no unknown field, inputs have
to exist where the server finds out while running. A rule of this project: an image has a tag other than `latest`, or a
digest.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KINDS = {
    "NUMBER_DOUBLE": "number_value",
    "NUMBER_INTEGER": "number_value",
    "STRING": "string_value",
    "BOOLEAN": "bool_value",
    "LIST": "list_value",
    "STRUCT": "struct_value",
}


class InvalidInputError(Exception):
    """What the server answers with 400 and code 3."""


@dataclass(frozen=True)
class Package:
    """A pipeline that passed the rules."""

    spec: Any
    platform: Any

    @property
    def name(self) -> str:
        return str(self.spec.pipeline_info.name)

    def as_json(self) -> dict[str, Any]:
        """As the server hands it out."""
        spec = json_format.MessageToDict(self.spec)
        if not self.platform.platforms:
            return spec
        return {"pipeline_spec": spec, "platform_spec": json_format.MessageToDict(self.platform)}


def parse_yaml(text: str) -> Package:
    """A package as it is uploaded."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidInputError(f"failed to parse pipeline spec YAML: {error}") from error
    return parse_documents(documents)


def parse_documents(documents: list[Any]) -> Package:
    """The pipeline, and its platform specification if there is one."""
    specs = [item for item in documents if isinstance(item, dict) and "platforms" not in item]
    platforms = [item for item in documents if isinstance(item, dict) and "platforms" in item]
    if len(specs) + len(platforms) != len(documents):
        raise InvalidInputError("unknown template format")
    if len(specs) != 1:
        raise InvalidInputError("multiple pipeline specs provided" if specs else "no pipeline spec is provided")
    if len(platforms) > 1:
        raise InvalidInputError("multiple platform specs provided")
    spec = _parsed(specs[0], pipeline_spec_pb2.PipelineSpec(), "invalid v2 pipeline spec")
    platform = _parsed(platforms[0] if platforms else {}, pipeline_spec_pb2.PlatformSpec(), "platform spec is invalid")
    _check_head(spec)
    executors = _executors(spec)
    _check_component("root", spec.root, spec=spec, executors=executors, path=[])
    _check_platform(platform, executors)
    return Package(spec, platform)


def check_arguments(package: Package, arguments: Mapping[str, Any]) -> None:
    """Every parameter of the root: there or optional, of its type, and no other."""
    known = package.spec.root.input_definitions.parameters
    for name, parameter in known.items():
        if name not in arguments:
            if not parameter.is_optional and not parameter.HasField("default_value"):
                raise InvalidInputError(
                    f"parameter {name} is not optional, yet has neither default value nor user provided value"
                )
            continue
        kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(parameter.parameter_type)
        value = json_format.ParseDict(arguments[name], Value())
        if value.WhichOneof("kind") != KINDS.get(kind):
            raise InvalidInputError(f"input parameter {name} requires type {kind.lower()}, but the value is not")
    for name in arguments:
        if name not in known:
            raise InvalidInputError(f"parameter {name} is not in the pipeline's inputs")


def _parsed(value: Any, message: Message, what: str) -> Any:
    try:
        return json_format.ParseDict(value, message)
    except json_format.ParseError as error:
        raise InvalidInputError(f"{what}: {error}") from error


def _check_head(spec: Any) -> None:
    if spec.schema_version != "2.1.0":
        raise InvalidInputError(
            f"KFP only supports schema version 2.1.0, but the pipeline spec has version {spec.schema_version}"
        )
    if not spec.pipeline_info.name:
        raise InvalidInputError("invalid v2 pipeline spec: name is empty")
    if not NAME.fullmatch(spec.pipeline_info.name):
        raise InvalidInputError(
            "invalid v2 pipeline spec: name should consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character"
        )
    if not spec.HasField("root"):
        raise InvalidInputError("invalid v2 pipeline spec: root component is empty")
    if "root" in spec.components:
        raise InvalidInputError('component name "root" is reserved')


def _executors(spec: Any) -> Mapping[str, Any]:
    config = _parsed(
        json_format.MessageToDict(spec.deployment_spec), pipeline_spec_pb2.PipelineDeploymentConfig(), "deployment spec"
    )
    for label, executor in config.executors.items():
        if executor.WhichOneof("spec") not in ("container", "importer"):
            raise InvalidInputError(f'executor(label="{label}"): non-container and non-importer not implemented')
        if executor.HasField("container"):
            _check_image(label, executor.container.image)
    return dict(config.executors)


def _check_image(label: str, image: str) -> None:
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        raise InvalidInputError(f'executor(label="{label}"): image {image!r} has no tag, or a moving one')


def _check_component(name: str, component: Any, *, spec: Any, executors: Mapping[str, Any], path: list[str]) -> None:
    if name in path:
        raise InvalidInputError(f"circular component reference detected: {' -> '.join([*path, name])}")
    if component.executor_label:
        if component.executor_label not in executors:
            raise InvalidInputError(f'executor(label="{component.executor_label}") not found in deployment config')
        return
    if not component.HasField("dag"):
        raise InvalidInputError(f'error processing component name="{name}": unknown component implementation')
    for task_name, task in component.dag.tasks.items():
        child = task.component_ref.name
        if not child:
            raise InvalidInputError(f'component ref name is empty for task name="{task_name}"')
        if child not in spec.components:
            raise InvalidInputError(f'cannot find component ref name="{child}" for task name="{task_name}"')
        _check_task(task_name, task, component=component, child=spec.components[child])
        _check_component(child, spec.components[child], spec=spec, executors=executors, path=[*path, name])
    final = pipeline_spec_pb2.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED
    if all(task.trigger_policy.strategy == final for task in component.dag.tasks.values()):
        raise InvalidInputError(f"DAG {name} must contain one or more non-exit tasks")


def _check_task(name: str, task: Any, *, component: Any, child: Any) -> None:
    siblings, wanted = component.dag.tasks, child.input_definitions
    for sibling in (*task.dependent_tasks, *_producers(task)):
        if sibling not in siblings:
            raise InvalidInputError(f'task "{name}" depends on task "{sibling}", which is not in its DAG')
    for kind in ("parameters", "artifacts"):
        given, known = getattr(task.inputs, kind), getattr(wanted, kind)
        for key, value in given.items():
            if key not in known:
                raise InvalidInputError(f'task "{name}": its component has no input "{key}"')
            source = value.component_input_parameter if kind == "parameters" else value.component_input_artifact
            if source and source not in getattr(component.input_definitions, kind):
                raise InvalidInputError(f'task "{name}": the DAG around it has no input "{source}"')
        for key, definition in known.items():
            has_default = kind == "parameters" and definition.HasField("default_value")
            iterated = key in (task.parameter_iterator.item_input, task.artifact_iterator.item_input)
            if key not in given and not definition.is_optional and not has_default and not iterated:
                raise InvalidInputError(f'task "{name}": input "{key}" is not given')


def _producers(task: Any) -> Iterator[str]:
    for value in task.inputs.parameters.values():
        if value.HasField("task_output_parameter"):
            yield value.task_output_parameter.producer_task
    for value in task.inputs.artifacts.values():
        if value.HasField("task_output_artifact"):
            yield value.task_output_artifact.producer_task


def _check_platform(platform: Any, executors: Mapping[str, Any]) -> None:
    for name, single in platform.platforms.items():
        if name != "kubernetes":
            raise InvalidInputError(f"platform spec is invalid: unknown platform {name}")
        for label, config in single.deployment_spec.executors.items():
            if label not in executors:
                raise InvalidInputError(f'platform spec is invalid: executor(label="{label}") not found')
            _parsed(
                json_format.MessageToDict(config),
                kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
                f"platform spec of {label}",
            )
