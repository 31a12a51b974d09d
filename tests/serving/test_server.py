import json
import socket
import stat
import subprocess
from pathlib import Path

import psutil
import pytest
import requests

from model.errors import CheckpointError, ServiceError, StorageError
from model.schema import to_json
from model.serving import processes, running, server
from model.serving.client import EndpointClient
from model.serving.golden import differences, golden_pictures
from model.serving.rollout import replace
from model.serving.schema import Origin
from model.serving.slot import Slot
from model.storage import read_json
from tests.listener import listener
from tests.serving.conftest import processes_of

pytestmark = pytest.mark.service

PATIENCE_S = 2  # a second is promised; the machine of a test may be busy


def post(endpoint, token, body, kind):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    return requests.post(f"{endpoint.url}/predictions/residual-mtl", data=body, headers=headers, timeout=30)


def test_served_answers_are_those_of_the_predictor(client, predictor):
    """T31 on made pictures, given and found boxes."""
    for number, (content, boxes) in enumerate(golden_pictures(10)):
        given = boxes if number % 2 else None
        assert differences(predictor.predict(content, given), client.predict(content, given)) == []


def test_answers_name_version_and_data(endpoint, token, predictor, picture):
    answer = post(endpoint, token, picture[0], "image/png")
    assert answer.headers["X-Model-Version"] == answer.json()["model_version"] == endpoint.version == "7"
    assert answer.headers["X-Data-Digest"] == answer.json()["data_digest"] == predictor.data_digest


def test_the_client_tells_the_origin_that_the_headers_name(client, predictor, picture):
    """T36: the first hop of the walk from an endpoint."""
    for boxes in (None, picture[1]):
        answer, origin = client.ask(picture[0], boxes)
        assert origin == Origin.of(answer) == ("7", predictor.data_digest)
    assert client.is_there()


def test_seven_of_eight_pictures_are_answered_in_order(endpoint, token, picture, as_multipart):
    """T38 through the whole road, all parts under one name."""
    kind, body = as_multipart([picture[0]] * 5 + [b"bad"] + [picture[0]] * 2)
    answer = post(endpoint, token, body, kind)
    codes = [item["error"] and item["error"]["code"] for item in answer.json()["predictions"]]
    assert (answer.status_code, codes) == (200, [None] * 5 + ["not_an_image"] + [None] * 2)


def test_bad_input_gets_4xx_and_kills_no_worker(endpoint, token, bad_bodies, picture):
    """T37."""
    before = processes_of(endpoint)
    for name, (kind, body) in bad_bodies.items():
        answer = post(endpoint, token, body, kind)
        assert 400 <= answer.status_code < 500, name
        assert answer.elapsed.total_seconds() < PATIENCE_S, name
        assert set(answer.json()["error"]) == {"code", "message"}, name
    large = post(endpoint, token, bytes(50_000_000), "image/png")
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    assert post(endpoint, token, picture[0], "image/png").status_code == 200
    assert processes_of(endpoint) == before


def test_nothing_in_a_body_is_fetched(endpoint, token):
    """T37, T44: whatever a picture or an instance points at."""
    with listener() as outside:
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{outside.url}/x.png"/></svg>'
        instance = {"image": f"{outside.url}/x.png", "boxes": None}
        bodies = [("image/svg+xml", svg), ("application/json", json.dumps({"instances": [instance]}))]
        for kind, body in [*bodies, ("text/plain", f"{outside.url}/x.png")]:
            answer = post(endpoint, token, body.encode(), kind)
            said = answer.json()
            assert answer.status_code == 400 or said["predictions"][0]["error"], kind
        assert not outside.was_called
        socket.create_connection(outside.listening.getsockname()).close()
        assert outside.was_called


def test_nothing_answers_without_the_token(endpoint, token, picture):
    """T44: neither the router nor TorchServe behind it, even to a picture that they would answer."""
    upstream = read_json(Path(endpoint.key_file).parent / "router.json")["upstream"]
    key = read_json(_server_folder(endpoint) / "key_file.json")["inference"]["key"]
    for url, right, refusals in ((endpoint.url, token, {401}), (upstream, key, {400, 401, 403})):
        codes = {}
        for name, given in (("none", None), ("wrong", "wrong"), ("empty", ""), ("right", right)):
            headers = {"Content-Type": "application/octet-stream", "X-Body-Type": "image/png"}
            headers |= {} if given is None else {"Authorization": f"Bearer {given}"}
            address = f"{url}/predictions/residual-mtl"
            codes[name] = requests.post(address, data=picture[0], headers=headers, timeout=30).status_code
        assert codes.pop("right") == 200
        assert set(codes.values()) <= refusals, codes


def test_models_cannot_be_registered_over_http(endpoint):
    """T44: not even with the management key, and nobody is asked for one."""
    folder = _server_folder(endpoint)
    lines = (folder / "config.properties").read_text().splitlines()
    management = dict(line.split("=", 1) for line in lines)["management_address"]
    key = read_json(folder / "key_file.json")["management"]["key"]
    headers = {"Authorization": f"Bearer {key}"}
    with listener() as outside:
        answer = requests.post(f"{management}/models?url={outside.url}/x.mar", headers=headers, timeout=30)
        assert 400 <= answer.status_code < 500
        assert not outside.was_called


def test_every_listener_is_bound_to_this_machine(endpoint):
    state = read_json(Path(endpoint.key_file).parent / "state.json")
    for pid, _ in (state["router"], state["servers"][0]["process"]):
        listening = [item for item in psutil.Process(pid).net_connections() if item.status == psutil.CONN_LISTEN]
        assert listening and all(item.laddr.ip.endswith("127.0.0.1") for item in listening)


def test_keys_are_readable_by_their_owner_only(endpoint):
    for path in (Path(endpoint.key_file), _server_folder(endpoint) / "key_file.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_second_start_in_the_same_folder_is_refused(endpoint, config, mar):
    state = Path(endpoint.key_file).parent
    with pytest.raises(ServiceError, match="is running from this folder"):
        server.start(config.deploy, archive=mar, state=state, report=state / "deployment.json")


def test_a_port_in_use_is_told_before_anything_starts(endpoint, config, mar, tmp_path, monkeypatch):
    monkeypatch.setenv("RMTL_PORT", endpoint.url.rpartition(":")[2])
    with pytest.raises(ServiceError, match="RMTL_PORT"):
        server.start(config.deploy, archive=mar, state=tmp_path / "s", report=tmp_path / "d.json")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("begin", [server.start, replace])
def test_one_that_comes_up_is_left_alone(config, mar, tmp_path, begin):
    """T24: two at once; the second neither ends the first nor takes its files away."""
    with running.alone(tmp_path / "s"), pytest.raises(ServiceError, match=r"another update .* is under way"):
        begin(config.deploy, archive=mar, state=tmp_path / "s", report=tmp_path / "d.json")


@pytest.fixture
def full(monkeypatch):
    """A disk without room for what is noted of the endpoint."""

    def refuse(path, _):
        raise StorageError(f"{path}: cannot be written")

    monkeypatch.setattr(running, "write_json", refuse)


@pytest.fixture
def idle(tmp_path):
    """A slot whose server does nothing."""
    (tmp_path / "scratch").mkdir()
    with subprocess.Popen(["sleep", "600"]) as process:
        yield Slot("server-0", "http://127.0.0.1:1", processes.identity(process.pid), str(tmp_path / "scratch"))
        process.kill()


@pytest.mark.usefixtures("full")
def test_a_server_that_cannot_be_noted_is_ended(config, mar, idle, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "open_slot", lambda *_, **__: idle)
    with pytest.raises(StorageError, match=r"state\.json: cannot be written"):
        server.come_up(config.deploy, mar, tmp_path)
    assert idle.find() is None
    assert not Path(idle.scratch).exists()


@pytest.mark.usefixtures("full")
def test_a_router_that_cannot_be_noted_is_ended(*, config, mar, predictor, idle, tmp_path, monkeypatch):
    before = psutil.Process().children()
    monkeypatch.setattr(server, "come_up", lambda *_, **__: idle)
    with pytest.raises(StorageError, match=r"state\.json: cannot be written"):
        server.begin(config.deploy, predictor, archive=mar, state=tmp_path, golden=None)
    assert (tmp_path / "router.log").exists()
    assert psutil.Process().children() == before


def test_stop_ends_every_process_and_can_be_repeated(config, mar, tmp_path, monkeypatch):
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", "of-my-own")
    deploy = config.deploy.model_copy(update={"startup_s": 180, "golden": 1})
    state = tmp_path / "s"
    deployment = server.start(deploy, archive=mar, state=state, report=tmp_path / "d.json")
    noted = read_json(state / "state.json")
    assert server.status(state)["ready"]
    assert read_json(tmp_path / "d.json") == to_json(deployment)
    assert EndpointClient(deployment.url, token="of-my-own").predict(b"x")["error"]
    assert server.stop(None, state=state)
    (behind,) = noted["servers"]
    assert not any(psutil.pid_exists(pid) for pid, _ in (noted["router"], behind["process"]))
    assert not Path(behind["scratch"]).exists()
    assert not server.stop(None, state=state)
    assert server.status(state) == {"running": False, "ready": False, "url": None}


def test_stop_ends_what_runs_on_where_the_folder_is_gone(config, mar, tmp_path):
    deploy = config.deploy.model_copy(update={"startup_s": 180, "golden": 1})
    state = tmp_path / "s"
    deployment = server.start(deploy, archive=mar, state=state, report=tmp_path / "d.json")
    noted = read_json(state / "state.json")
    java = psutil.Process(noted["servers"][0]["process"][0])
    family = [psutil.Process(noted["router"][0]), java, *java.children(recursive=True)]
    state.rename(tmp_path / "gone")
    assert server.stop(deployment, state=state)
    assert not any(processes.is_alive(process.pid) for process in family)
    assert not server.stop(deployment, state=state)


def test_an_unsafe_archive_starts_nothing(config, tmp_path):
    (tmp_path / "bad.mar").write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="not an archive"):
        server.start(config.deploy, archive=tmp_path / "bad.mar", state=tmp_path / "s", report=tmp_path / "d.json")
    assert not (tmp_path / "s").exists()


def _server_folder(endpoint):
    state = Path(endpoint.key_file).parent
    return state / read_json(state / "router.json")["server"]
