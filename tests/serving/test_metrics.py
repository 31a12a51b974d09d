"""What the endpoint tells about its requests, and what it keeps of them: sums, no picture, no point."""

import base64
import json
import re
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load.clients import Target
from benchmarks.soak import soak, table
from model.schema import EXPRESSIONS
from model.serving.golden import golden_pictures
from model.serving.measures import Measures
from model.serving.metrics import Metrics
from model.serving.schema import MEASURES_HEADER, STATUS
from model.storage import read_json


def values(text):
    """Each sample's value by its name with its labels' values."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {"/".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def metrics(in_flight=0):
    return Metrics(in_flight=lambda: in_flight, limit=lambda: 16)


def test_every_code_and_expression_is_there_before_the_first_request():
    shown = values(metrics(3).show(ready=True).decode())
    assert [shown[f"rmtl_requests_total/{code}"] for code in ("ok", *STATUS)] == [0] * (len(STATUS) + 1)
    assert [shown[f"rmtl_faces_total/{name}"] for name in EXPRESSIONS] == [0] * len(EXPRESSIONS)
    assert (shown["rmtl_requests_in_flight"], shown["rmtl_requests_in_flight_limit"]) == (3, 16)
    assert (shown["rmtl_model_ready"], values(metrics().show(ready=False).decode())["rmtl_model_ready"]) == (1, 0)


def test_a_request_is_counted_once_and_its_pictures_each():
    counters = metrics()
    seen = Measures(batch=2, errors=["not_an_image"], brightness=[0.2, 0.8], sides=[100, 5000], faces=[1, 3])
    seen.confidence, seen.face_sides, seen.expressions = [0.9] * 4, [40.0] * 4, {"happy": 3, "sad": 1}
    counters.answered("7", 0.04, seen)
    counters.answered("8", 0.04, Measures(code="truncated_image", errors=["truncated_image"]))
    counters.refused("unauthorized")
    shown = values(counters.show(ready=True).decode())
    assert {name: shown[f"rmtl_requests_total/{name}"] for name in ("ok", "truncated_image", "unauthorized")} == {
        "ok": 1,
        "truncated_image": 1,
        "unauthorized": 1,
    }
    assert (shown["rmtl_answers_total/7"], shown["rmtl_answers_total/8"]) == (1, 1)
    assert shown["rmtl_picture_errors_total/not_an_image"] == 1
    assert (shown["rmtl_picture_brightness_count"], shown["rmtl_picture_brightness_sum"]) == (2, 1)
    assert shown["rmtl_picture_brightness_bucket/0.2"] == 1
    assert (shown["rmtl_picture_faces_sum"], shown["rmtl_face_confidence_count"]) == (4, 4)
    assert (shown["rmtl_faces_total/happy"], shown["rmtl_request_seconds_count"]) == (3, 2)


def test_an_answer_without_numbers_is_counted_all_the_same():
    counters = metrics()
    counters.answered("7", 0.04, None)
    assert values(counters.show(ready=True).decode())["rmtl_requests_total/ok"] == 1


def ask(endpoint, token):
    """The endpoint's metrics now."""
    answer = requests.get(f"{endpoint.url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.text


@pytest.mark.service
def test_metrics_ask_for_the_token(endpoint):
    """T44."""
    assert requests.get(f"{endpoint.url}/metrics", timeout=30).status_code == 401


@pytest.mark.service
def test_the_endpoint_counts_what_it_answers(endpoint, token, client, picture, as_multipart):
    before = values(ask(endpoint, token))
    kind, body = as_multipart([picture[0], b"bad", picture[0]])
    assert len(client.post(body, kind)["predictions"]) == 3
    client.post(b"hello", "image/png")
    client.predict(*picture)
    text = ask(endpoint, token)
    after = values(text)
    grown = {name: after[name] - before.get(name, 0) for name in after if not name.startswith("process_")}
    assert (grown["rmtl_requests_total/ok"], grown["rmtl_requests_total/not_an_image"]) == (2, 1)
    assert (grown["rmtl_picture_errors_total/not_an_image"], grown["rmtl_answers_total/7"]) == (2, 3)
    assert (grown["rmtl_picture_side_pixels_count"], grown["rmtl_request_seconds_count"]) == (3, 3)
    assert grown["rmtl_face_confidence_count"] == sum(grown[f"rmtl_faces_total/{name}"] for name in EXPRESSIONS) >= 1
    assert (after["rmtl_model_ready"], after["rmtl_requests_in_flight"]) == (1, 0)
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=True, timeout=60)


@pytest.mark.service
def test_counters_and_seconds_agree_with_the_client(endpoint, token):
    """T45, in short."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    target = Target(f"{endpoint.url}/predictions/residual-mtl", headers)
    report = soak(target, Path(endpoint.key_file).parent, minutes=0.2)
    assert report["asked"] == report["counted"] >= 4
    assert report["histogram_seconds"] == pytest.approx(report["client_seconds"], rel=0.05)
    assert all(size > 10 for name, size in report["resident_mb"][-1].items() if name != "s")
    assert f"{report['asked']} requests" in table(report | {"minutes": 0.2})


@pytest.mark.service
def test_clients_never_see_what_workers_tell_the_router(endpoint, token, picture):
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{endpoint.url}/predictions/residual-mtl", data=picture[0], headers=headers, timeout=30)
    assert answer.status_code == 200
    assert MEASURES_HEADER not in answer.headers


@pytest.mark.service
def test_no_picture_and_no_point_stays_in_logs_or_temporary_folders(endpoint, client):
    """A hundred requests, some with errors whose messages quote the request."""
    started, traces = time.time(), []
    for content, boxes in golden_pictures(10):
        for given in (None, boxes):
            faces = client.predict(content, given)["faces"]
            middle = content[len(content) // 2 :][:24]
            traces += [middle, base64.b64encode(content)[600:640]]
            traces += [json.dumps(point[0]).encode() for face in faces for point in face["landmarks"][:8]]
    odd = [[31.4159, 27.1828, 16.1803, 57.7215]]
    for _ in range(40):
        client.post_json({"instances": [{"image": "secret words, no base64", "boxes": odd}]})
        client.post(b"secret words, no picture", "image/png")
    traces += [b"secret words", b"31.4159", b"57.7215"]
    traces = [trace for trace in traces if len(trace) >= 6]
    assert len(traces) > 60
    kept = {path: read(path) for path in files(endpoint, started)}
    assert any(path.name == "model_log.log" for path in kept)
    found = re.compile(b"|".join(re.escape(trace) for trace in set(traces)))
    assert [str(path) for path, content in kept.items() if found.search(content)] == []


def files(endpoint, started):
    """Of the endpoint's folder and scratch, what its processes hold open, and what came into the temporary folder."""
    state = Path(endpoint.key_file).parent
    noted = read_json(state / "state.json")
    roots = [state, *(Path(item["scratch"]) for item in noted["servers"])]
    for root in roots:
        yield from (path for path in root.rglob("*") if path.is_file())
    for pid, _ in (noted["router"], *(item["process"] for item in noted["servers"])):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            yield from (Path(item.path) for item in process.open_files() if "w" in item.mode or "a" in item.mode)
    yield from (path for path in Path(tempfile.gettempdir()).iterdir() if is_new(path, started))


def is_new(path, started):
    """Whether it is a file that this test may have brought; those of others come and go meanwhile."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mtime >= started and found.st_size < 50_000_000


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""
