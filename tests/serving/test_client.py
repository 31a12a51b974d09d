import pytest

from model.errors import ServiceError
from model.serving.client import EndpointClient
from model.serving.torchserve import free_ports


def test_address_of_the_endpoint_or_of_its_model_will_do():
    expected = "http://host:1/predictions/residual-mtl"
    assert EndpointClient("http://host:1/").url == expected
    assert EndpointClient(expected).url == expected


def test_no_endpoint_is_a_service_error():
    client = EndpointClient(f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(ServiceError, match="rmtl deploy"):
        client.predict(b"x")
    assert not client.is_there()
