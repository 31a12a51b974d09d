import json

import pytest
import requests

from model.errors import ServiceError
from model.serving.client import EndpointClient
from model.serving.torchserve import free_ports


def test_address_of_the_endpoint_or_of_its_model_will_do():
    expected = "http://host:1/predictions/residual-mtl"
    assert EndpointClient("http://host:1/").url == expected
    assert EndpointClient(expected).url == expected


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, {"detail": "Not Found"}),
        (404, {"error": {"code": "bad_request", "message": "no such model"}}),
        (200, {"hello": "world"}),
        (200, {"error": "not found"}),
        (200, []),
    ],
)
def test_another_service_at_the_address_is_a_service_error(monkeypatch, status, answer):
    response = requests.Response()
    response.status_code, response._content = status, json.dumps(answer).encode()
    monkeypatch.setattr(requests.Session, "post", lambda *_, **__: response)
    with pytest.raises(ServiceError, match="http://host:1"):
        EndpointClient("http://host:1").predict(b"x")


@pytest.mark.parametrize(("refusals", "again", "waited"), [(2, 5, [1.0, 1.0]), (2, 0, None), (9, 2, None)])
def test_an_overloaded_endpoint_is_asked_again_when_it_says(monkeypatch, refusals, again, waited):
    waits, asked = [], []

    def post(*_, **__):
        asked.append(1)
        response = requests.Response()
        response.status_code = 503 if len(asked) <= refusals else 200
        if response.status_code == 503:
            response.headers["Retry-After"] = "1"
            response._content = b'{"error": {"code": "overloaded", "message": "come back"}}'
        else:
            response._content = b'{"faces": [], "error": null}'
        return response

    monkeypatch.setattr(requests.Session, "post", post)
    monkeypatch.setattr("model.serving.client.time.sleep", waits.append)
    client = EndpointClient("http://host:1", again=again)
    if waited is None:
        with pytest.raises(ServiceError, match="come back"):
            client.predict(b"x")
        assert len(asked) == again + 1
    else:
        assert client.predict(b"x")["faces"] == []
        assert waits == waited


def test_no_endpoint_is_a_service_error():
    client = EndpointClient(f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(ServiceError, match="rmtl deploy"):
        client.predict(b"x")
    assert not client.is_there()
