"""Requests to the stand-in of the Kubeflow Pipelines server, as a client makes them that is no library."""

from typing import Any

import requests

from tests.kfp_api import API
from tests.kfp_requests import CODES
from tests.kfp_server import TOKEN, KfpServer
from tests.pipelines.small import ARGUMENTS

Tree = dict[str, Any]


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
