"""The stand-in of the Kubeflow Pipelines server: strict enough that what passes it means something."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.kfp_cron import check_cron
from tests.kfp_requests import CODES
from tests.kfp_server import TOKEN, KfpServer, run_kfp
from tests.pipelines.small import ARGUMENTS, documents

pytestmark = pytest.mark.service

Tree = dict[str, Any]
API = "/apis/v2beta1"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Tree]:
    return documents(tmp_path_factory.mktemp("small"))


@pytest.fixture
def parts(compiled: list[Tree]) -> list[Tree]:
    """Pipeline and platform specification, to be spoiled."""
    return copy.deepcopy(compiled)


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with run_kfp(token=TOKEN) as server:
        yield server


def ask(kfp: KfpServer, method: str, path: str, **options: Any) -> requests.Response:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return requests.request(method, f"{kfp.url}{API}{path}", headers=headers, timeout=10, **options)


def upload(kfp: KfpServer, text: str, *, name: str = "1", file_name: str = "small.yaml") -> requests.Response:
    pipelines = ask(kfp, "GET", "/pipelines").json()["pipelines"]
    pipeline = pipelines[0] if pipelines else ask(kfp, "POST", "/pipelines", json={"display_name": "small"}).json()
    query = {"name": name, "pipelineid": pipeline["pipeline_id"]}
    return ask(kfp, "POST", "/pipelines/upload_version", params=query, files={"uploadfile": (file_name, text)})


def run_body(kfp: KfpServer, parts: list[Tree], **changes: Any) -> Tree:
    experiments = ask(kfp, "GET", "/experiments").json()["experiments"]
    experiment = experiments[0] if experiments else ask(kfp, "POST", "/experiments", json={"display_name": "e"}).json()
    return {
        "display_name": "a run",
        "experiment_id": experiment["experiment_id"],
        "pipeline_spec": {"pipeline_spec": parts[0], "platform_spec": parts[1]},
        "runtime_config": {"parameters": dict(ARGUMENTS)},
        **changes,
    }


def schedule_body(kfp: KfpServer, parts: list[Tree], **changes: Any) -> Tree:
    trigger = {"cron_schedule": {"cron": "0 0 6 * * *"}}
    more = {"max_concurrency": "1", "no_catchup": True, "mode": "ENABLE", "trigger": trigger}
    return {**run_body(kfp, parts), **more, **changes}


def refused(answer: requests.Response, words: str, status: int = 400) -> None:
    """The real shape of an error, with these words."""
    body = answer.json()
    assert answer.status_code == status, body
    assert set(body) == {"error", "code", "message", "details"}
    assert body["code"] == CODES[status]
    assert words in body["message"]


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


def test_an_upload_needs_its_form_field_a_known_suffix_and_a_pipeline(kfp: KfpServer, parts: list[Tree]) -> None:
    text = yaml.safe_dump_all(parts)
    assert upload(kfp, text, file_name="small.txt").status_code == 400
    path = "/pipelines/upload_version"
    assert ask(kfp, "POST", path, params={"name": "1", "pipelineid": "x"}, files={"f": text}).status_code == 400
    assert ask(kfp, "POST", path, params={"name": "1"}, files={"uploadfile": ("s.yaml", text)}).status_code == 400
    assert ask(kfp, "POST", path, params={"name": "1"}, data=text).status_code == 400


def test_a_version_and_a_pipeline_and_an_experiment_have_their_name_alone(kfp: KfpServer, parts: list[Tree]) -> None:
    text = yaml.safe_dump_all(parts)
    assert upload(kfp, text).status_code == 200
    assert upload(kfp, text).status_code == 409
    refused(ask(kfp, "POST", "/pipelines", json={"display_name": "small"}), "Failed to create", 409)
    assert ask(kfp, "POST", "/experiments", json={"display_name": "e"}).status_code == 200
    refused(ask(kfp, "POST", "/experiments", json={"display_name": "e"}), "already exists", 409)


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


# Each is a fault of a run's body outside its package.
RUN_FAULTS: dict[str, tuple[Tree, str, int]] = {
    "no name": ({"display_name": ""}, "name is empty", 400),
    "unknown experiment": ({"experiment_id": "nobody"}, "not found", 404),
    "no source": ({"pipeline_spec": None}, "one pipeline source", 400),
    "two sources": ({"pipeline_version_reference": {"pipeline_id": "x"}}, "one pipeline source", 400),
    "unknown field": ({"colour": "red"}, "colour", 400),
    "unknown field below": ({"runtime_config": {"colour": "red"}}, "colour", 400),
    "wrong type": ({"display_name": 7}, "display_name", 400),
    "wrong state": ({"state": "HAPPY"}, "state", 400),
}


@pytest.mark.parametrize("way", RUN_FAULTS)
def test_a_wrong_run_is_refused(kfp: KfpServer, parts: list[Tree], way: str) -> None:
    change, words, status = RUN_FAULTS[way]
    refused(ask(kfp, "POST", "/runs", json=run_body(kfp, parts, **change)), words, status)


def test_a_version_has_to_exist_and_to_belong_to_its_pipeline(kfp: KfpServer, parts: list[Tree]) -> None:
    version = upload(kfp, yaml.safe_dump_all(parts)).json()
    for pipeline_id, version_id, status in (("other", version["pipeline_version_id"], 400), ("x", "nobody", 404)):
        reference = {"pipeline_id": pipeline_id, "pipeline_version_id": version_id}
        body = run_body(kfp, parts, pipeline_spec=None, pipeline_version_reference=reference)
        assert ask(kfp, "POST", "/runs", json=body).status_code == status


SCHEDULE_FAULTS: dict[str, tuple[Tree, str]] = {
    "no concurrency": ({"max_concurrency": None}, "Max concurrency"),
    "too much concurrency": ({"max_concurrency": "11"}, "Max concurrency"),
    "no trigger": ({"trigger": None}, "one trigger"),
    "two triggers": (
        {"trigger": {"cron_schedule": {"cron": "@daily"}, "periodic_schedule": {"interval_second": "60"}}},
        "one trigger",
    ),
    "no period": ({"trigger": {"periodic_schedule": {"interval_second": "0"}}}, "interval"),
    "words for cron": ({"trigger": {"cron_schedule": {"cron": "every morning"}}}, "not a supported format"),
    "unknown mode": ({"mode": "PERHAPS"}, "mode"),
}


@pytest.mark.parametrize("way", SCHEDULE_FAULTS)
def test_a_wrong_schedule_is_refused(kfp: KfpServer, parts: list[Tree], way: str) -> None:
    change, words = SCHEDULE_FAULTS[way]
    refused(ask(kfp, "POST", "/recurringruns", json=schedule_body(kfp, parts, **change)), words)


def test_schedules_are_made_switched_and_deleted(kfp: KfpServer, parts: list[Tree]) -> None:
    made = ask(kfp, "POST", "/recurringruns", json=schedule_body(kfp, parts)).json()
    path = f"/recurringruns/{made['recurring_run_id']}"
    assert ask(kfp, "GET", path).json()["status"] == "ENABLED"
    assert ask(kfp, "POST", f"{path}:disable").status_code == 200
    assert ask(kfp, "GET", path).json()["status"] == "DISABLED"
    assert ask(kfp, "DELETE", path).status_code == 200
    refused(ask(kfp, "GET", path), "not found", 404)


@pytest.mark.parametrize("line", ["0 0 6 * * *", "0 */5 8-18 ? jan,mar mon-fri", "@daily", "@every 1h30m", "0 6 * * *"])
def test_cron_lines_that_the_server_reads(line: str) -> None:
    check_cron(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* * * *",
        "60 * * * * *",
        "* * * 0 * *",
        "* * * * * 7",
        "*/0 * * * * *",
        "@often",
        "5-1 * * * * *",
        "x * * * * *",
    ],
)
def test_cron_lines_that_the_server_refuses(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_cron(line)


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": "-1"},
        {"page_size": "many"},
        {"page_token": "x"},
        {"filter": "{"},
        {"filter": '{"predicates": [{"operation": "EQUALS", "key": "colour", "stringValue": "x"}]}'},
        {"filter": '{"predicates": [{"operation": "LIKE", "key": "display_name", "stringValue": "x"}]}'},
        {"filter": '{"predicates": [], "colour": "red"}'},
    ],
)
def test_a_wrong_list_request_is_refused(kfp: KfpServer, query: dict[str, str]) -> None:
    assert ask(kfp, "GET", "/experiments", params=query).status_code == 400


def test_lists_come_in_pages(kfp: KfpServer) -> None:
    for number in range(5):
        ask(kfp, "POST", "/experiments", json={"display_name": f"e{number}"})
    first = ask(kfp, "GET", "/experiments", params={"page_size": 3}).json()
    second = ask(kfp, "GET", "/experiments", params={"page_size": 3, "page_token": first["next_page_token"]}).json()
    assert [len(page["experiments"]) for page in (first, second)] == [3, 2]
    assert second["next_page_token"] == ""


def test_names_are_needed_and_bounded(kfp: KfpServer) -> None:
    for path in ("/experiments", "/pipelines"):
        refused(ask(kfp, "POST", path, json={"display_name": " "}), "name is empty")
        refused(ask(kfp, "POST", path, json={"display_name": "x" * 129}), "length cannot exceed")
        refused(ask(kfp, "POST", path, data="{"), "invalid JSON")


def test_without_the_token_only_its_health_is_told(kfp: KfpServer) -> None:
    """T44."""
    assert requests.get(f"{kfp.url}{API}/healthz", timeout=10).json()["multi_user"] is False
    for header in ({}, {"authorization": "Bearer other"}, {"authorization": TOKEN}):
        refused(requests.get(f"{kfp.url}{API}/experiments", headers=header, timeout=10), "Unauthenticated", 401)


def test_a_server_for_several_users_wants_a_namespace() -> None:
    with run_kfp(token=TOKEN, multi_user=True) as kfp:
        refused(ask(kfp, "GET", "/experiments"), "namespace")
        refused(ask(kfp, "POST", "/experiments", json={"display_name": "e"}), "namespace")
        assert ask(kfp, "POST", "/experiments", json={"display_name": "e", "namespace": "a"}).status_code == 200
        assert ask(kfp, "GET", "/experiments", params={"namespace": "b"}).json()["experiments"] == []


def test_what_is_unknown_is_not_found(kfp: KfpServer) -> None:
    for path in ("/nonsense", "/runs/nobody", "/pipelines/nobody", "/pipelines/nobody/versions", "/experiments/nobody"):
        assert ask(kfp, "GET", path).status_code == 404, path


def test_a_stopped_server_comes_back_on_its_port(kfp: KfpServer) -> None:
    kfp.stop()
    with pytest.raises(requests.ConnectionError):
        ask(kfp, "GET", "/healthz")
    kfp.start()
    assert ask(kfp, "GET", "/healthz").status_code == 200
