"""The stand-in of the Kubeflow Pipelines server: bodies, lists, names, cron lines and the token."""

import pytest
import requests
import yaml

from tests.kfp_api import API
from tests.kfp_cron import check_cron
from tests.kfp_server import TOKEN, KfpServer, run_kfp
from tests.pipelines.asking import Tree, ask, refused, run_body, schedule_body, upload

pytestmark = pytest.mark.service


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
