"""The stand-in's rules for packages and arguments: strict enough that what passes them means something."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kfp_server import KfpServer
from tests.pipelines.asking import Tree, ask, refused, run_body, schedule_body, upload
from tests.pipelines.small import ARGUMENTS

pytestmark = pytest.mark.service


def test_a_run_of_a_whole_package_is_taken(kfp: KfpServer, parts: list[Tree]) -> None:
    answer = ask(kfp, "POST", "/runs", json=run_body(kfp, parts))
    assert answer.status_code == 200, answer.json()
    assert ask(kfp, "GET", f"/runs/{answer.json()['run_id']}").json()["state"] == "PENDING"


def test_the_golden_pipelines_are_taken_as_they_are(kfp: KfpServer, root: Path) -> None:
    """T17."""
    paths = sorted((root / "pipelines/compiled").glob("*.yaml"))
    assert paths
    for path in paths:
        answer = upload(kfp, path.read_text(), name=path.stem)
        assert answer.status_code == 200, answer.json()


# Each spoils a package in one way: what is done to (pipeline, platform), and the words of the refusal.
SPOILED: dict[str, tuple[Callable[[Tree, Tree], Any], str]] = {
    "old schema": (lambda spec, _: spec.update(schemaVersion="2.0.0"), "only supports schema version 2.1.0"),
    "no name": (lambda spec, _: spec["pipelineInfo"].update(name=""), "name is empty"),
    "capital name": (lambda spec, _: spec["pipelineInfo"].update(name="Small"), "lower case"),
    "no root": (lambda spec, _: spec.pop("root"), "root component is empty"),
    "unknown field": (lambda spec, _: spec.update(colour="red"), "colour"),
    "field of another type": (lambda spec, _: spec["pipelineInfo"].update(name=["small"]), "invalid v2 pipeline spec"),
    "component called root": (lambda spec, _: spec["components"].update(root=spec["root"]), "reserved"),
    "missing component": (lambda spec, _: spec["components"].pop("comp-train"), "cannot find component ref"),
    "missing executor": (
        lambda spec, _: spec["deploymentSpec"]["executors"].pop("exec-report"),
        "not found in deployment config",
    ),
    "executor without image": (
        lambda spec, _: spec["deploymentSpec"]["executors"].update({"exec-train": {}}),
        "non-container",
    ),
    "unknown field of an executor": (
        lambda spec, _: spec["deploymentSpec"]["executors"]["exec-train"]["container"].update(colour="red"),
        "colour",
    ),
    "moving image": (lambda spec, _: image(spec, "face:latest"), "moving"),
    "image without tag": (lambda spec, _: image(spec, "registry:5000/face"), "no tag"),
    "component of nothing": (
        lambda spec, _: spec["components"]["comp-train"].pop("executorLabel"),
        "unknown component implementation",
    ),
    "task of no component": (lambda spec, _: tasks(spec)["train"].pop("componentRef"), "component ref name is empty"),
    "circle": (lambda spec, _: contain_itself(spec), "circular component reference"),
    "unknown producer": (
        lambda spec, _: tasks(spec)["train"].update(dependentTasks=["nobody"]),
        "which is not in its DAG",
    ),
    "missing input": (lambda spec, _: tasks(spec)["train"]["inputs"]["parameters"].pop("seed"), 'input "seed" is not'),
    "input of nobody": (
        lambda spec, _: tasks(spec)["train"]["inputs"]["parameters"].update(x={"componentInputParameter": "seed"}),
        'no input "x"',
    ),
    "exit tasks alone": (
        lambda spec, _: spec["root"]["dag"]["tasks"].pop("exit-handler-1"),
        "not in its DAG",
    ),
    "other platform": (lambda _, platform: platform["platforms"].update(mesos={}), "unknown platform"),
    "platform of no executor": (
        lambda _, platform: executors(platform).update({"exec-nobody": {}}),
        "not found",
    ),
    "unknown platform field": (lambda _, platform: executors(platform)["exec-train"].update(colour="red"), "colour"),
}


def contain_itself(spec: Tree) -> None:
    component = spec["components"]["comp-exit-handler-1"]
    inputs = {name: {"componentInputParameter": name} for name in component["inputDefinitions"]["parameters"]}
    task = {"componentRef": {"name": "comp-exit-handler-1"}, "inputs": {"parameters": inputs}}
    component["dag"]["tasks"]["again"] = task


def image(spec: Tree, name: str) -> None:
    spec["deploymentSpec"]["executors"]["exec-train"]["container"]["image"] = name


def tasks(spec: Tree) -> Tree:
    return dict(spec["components"]["comp-exit-handler-1"]["dag"]["tasks"])


def executors(platform: Tree) -> Tree:
    executors: Tree = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return executors


@pytest.mark.parametrize("way", SPOILED)
def test_a_spoiled_package_is_refused(kfp: KfpServer, parts: list[Tree], way: str) -> None:
    spoil, words = SPOILED[way]
    spoil(*parts)
    refused(ask(kfp, "POST", "/runs", json=run_body(kfp, parts)), words)
    answer = upload(kfp, yaml.safe_dump_all(parts))
    assert answer.status_code == 400
    assert set(answer.json()) == {"error_message", "error_details"}
    assert words in answer.json()["error_message"]
    assert kfp.versions == {}
    assert kfp.runs == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "failed to parse"),
        ("", "no pipeline spec"),
        ("just words", "unknown template format"),
        ("{platforms: {}}", "no pipeline spec"),
    ],
)
def test_an_upload_that_is_no_package_is_refused(kfp: KfpServer, text: str, words: str) -> None:
    answer = upload(kfp, text)
    assert answer.status_code == 400
    assert words in answer.json()["error_message"]


def test_two_pipelines_in_one_file_are_refused(kfp: KfpServer, parts: list[Tree]) -> None:
    assert "multiple" in upload(kfp, yaml.safe_dump_all([parts[0], parts[0]])).json()["error_message"]
    assert "multiple" in upload(kfp, yaml.safe_dump_all([*parts, parts[1]])).json()["error_message"]


# Each changes one argument of a run.
ARGUMENT_FAULTS: dict[str, tuple[Tree, str]] = {
    "text for a number": ({"seed": "7"}, "input parameter seed"),
    "number for a text": ({"data_version": 7}, "input parameter data_version"),
    "text for a share": ({"share": "half"}, "input parameter share"),
    "number for a truth": ({"strict": 1}, "input parameter strict"),
    "object for a list": ({"rows": {}}, "input parameter rows"),
    "text for an object": ({"section": "{}"}, "input parameter section"),
    "null": ({"section": None}, "input parameter section"),
    "one too many": ({"colour": "red"}, "not in the pipeline's inputs"),
}


@pytest.mark.parametrize("way", ARGUMENT_FAULTS)
def test_a_wrong_argument_is_refused(kfp: KfpServer, parts: list[Tree], way: str) -> None:
    change, words = ARGUMENT_FAULTS[way]
    wrong = {"parameters": {**ARGUMENTS, **change}}
    refused(ask(kfp, "POST", "/runs", json=run_body(kfp, parts, runtime_config=wrong)), words)
    refused(ask(kfp, "POST", "/recurringruns", json=schedule_body(kfp, parts, runtime_config=wrong)), words)


def test_a_missing_argument_is_refused_unless_it_has_a_default(kfp: KfpServer, parts: list[Tree]) -> None:
    fewer = {name: value for name, value in ARGUMENTS.items() if name != "seed"}
    refused(ask(kfp, "POST", "/runs", json=run_body(kfp, parts, runtime_config={"parameters": fewer})), "seed is not")
    refused(ask(kfp, "POST", "/runs", json=run_body(kfp, parts, runtime_config=None)), "not optional")
