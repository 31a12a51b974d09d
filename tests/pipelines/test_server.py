"""Settings of the Kubeflow Pipelines server, and calls to it that end in bounded time."""

import re
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import ConfigError, ServiceError
from pipelines.server import Connection, Server, connect, read_server
from pipelines.submit import Run, submit, upload
from tests.kfp_server import TOKEN, Faults, KfpServer, run_kfp
from tests.pipelines.conftest import Ended
from tests.pipelines.small import ARGUMENTS

pytestmark = pytest.mark.service


def test_a_missing_host_is_named_with_what_to_set(no_server: None) -> None:
    with pytest.raises(ConfigError, match=r"RMTL_KFP_HOST.*https://"):
        read_server()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HOST", "kubeflow.example.com", "http://"),
        ("HOST", "https://user:secret@kubeflow.example.com", "RMTL_KFP_TOKEN"),
        ("HOST", "https://kubeflow.example.com/?ns=a", "without"),
        ("TOKEN", "Bearer secret", "without `Bearer`"),
        ("CA", "nowhere.pem", "RMTL_KFP_CA"),
    ],
)
def test_a_wrong_variable_is_named_and_no_secret_is_shown(
    no_server: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv("RMTL_KFP_HOST", "https://kubeflow.example.com")
    monkeypatch.setenv(f"RMTL_KFP_{name}", value)
    with pytest.raises(ConfigError, match=words) as error:
        read_server()
    assert f"RMTL_KFP_{name}" in str(error.value)
    assert "secret" not in str(error.value)


def test_the_token_is_in_no_representation(no_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTL_KFP_HOST", "https://kubeflow.example.com/pipeline/")
    monkeypatch.setenv("RMTL_KFP_TOKEN", f"{TOKEN}\n")
    server = read_server()
    assert server.token == TOKEN
    assert server.host == "https://kubeflow.example.com/pipeline"
    assert server.experiment == "residual-mtl"
    assert TOKEN not in f"{server!r} {server}"


def test_a_server_for_several_users_needs_a_namespace(no_server: None) -> None:
    with run_kfp(multi_user=True) as kfp, pytest.raises(ConfigError, match="RMTL_KFP_NAMESPACE"):
        connect(Server(kfp.url))


def test_pipeline_experiment_and_run_live_in_the_namespace(no_server: None, small_package: Path) -> None:
    with run_kfp(multi_user=True) as kfp:
        connection = connect(Server(kfp.url, namespace="faces"))
        version = upload(small_package, connection)
        submit(version, ARGUMENTS, title="a run", connection=connection)
        assert upload(small_package, connection) == version
        for stored in (*kfp.pipelines.values(), *kfp.experiments.values()):
            assert stored["namespace"] == "faces"


def test_an_authority_of_our_own_is_trusted_by_its_file_alone(no_server: None, tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kubeflow"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with run_kfp(tls=context) as kfp:
        assert connect(Server(kfp.url, ca=str(certificate))).server.host == kfp.url
        with pytest.raises(ServiceError, match="certificate"):
            connect(Server(kfp.url))


def test_rubbish_for_an_authority_is_told(no_server: None, tmp_path: Path) -> None:
    rubbish = tmp_path / "ca.pem"
    rubbish.write_text("no certificate")
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1"):
        connect(Server("https://127.0.0.1:9", ca=str(rubbish)))


def test_a_server_that_is_away_is_told_in_seconds(kfp: KfpServer) -> None:
    kfp.stop()
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"no answer.*RMTL_KFP_HOST"):
        connect(read_server())
    assert time.monotonic() - began < 30


def test_a_server_that_does_not_answer_is_told_in_bounded_time(kfp: KfpServer) -> None:
    kfp.faults.delay_s = 3
    began = time.monotonic()
    with pytest.raises(ServiceError, match="no answer"):
        connect(replace(read_server(), timeout_s=(1, 0.5)))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(statuses=[401] * 9), "RMTL_KFP_TOKEN"),
        (Faults(statuses=[403] * 9), "RMTL_KFP_NAMESPACE"),
        (Faults(statuses=[503] * 9), "503"),
        (Faults(drops=9), "no answer"),
        (Faults(login="redirect"), "login"),
        (Faults(login="page"), "login"),
        (Faults(nonsense=b"{}"), "RMTL_KFP_HOST"),
        (Faults(nonsense=b"[1, 2"), "RMTL_KFP_HOST"),
        (Faults(nonsense=b'"words"'), "RMTL_KFP_HOST"),
        (Faults(nonsense=b"\xff\xfe"), "RMTL_KFP_HOST"),
    ],
    ids=["401", "403", "503", "hangs up", "login elsewhere", "login", "empty", "half", "words", "bytes"],
)
def test_each_fault_is_a_service_error_with_advice(
    kfp: KfpServer, command: Callable[..., Ended], faults: Faults, words: str
) -> None:
    """T44."""
    kfp.faults = faults
    ended = command("schedules")
    assert ended.failure is not None
    assert ended.failure.exit_code == 5
    assert words in str(ended.failure)
    assert kfp.url in str(ended.failure)


@pytest.mark.parametrize(
    "nonsense",
    [b"{}", b'{"experiments": [null]}', b'{"experiments": 7}', b'{"experiments": [{"created_at": "never"}]}', b"x"],
)
def test_nonsense_after_the_first_answer_is_a_service_error_too(
    kfp: KfpServer, connection: Connection, small_package: Path, run: Run, nonsense: bytes
) -> None:
    kfp.faults.nonsense = nonsense
    with pytest.raises(ServiceError):
        upload(small_package, connection)
    with pytest.raises(ServiceError):
        submit(run.version, ARGUMENTS, title="x", connection=connection)


def test_a_wrong_token_ends_with_5_and_is_not_shown(
    kfp: KfpServer, command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in repeats the header in its answer; the message must not."""
    monkeypatch.setenv("RMTL_KFP_TOKEN", "another-canary")
    ended = command("schedules")
    assert ended.failure is not None
    assert ended.failure.exit_code == 5
    assert "***" in str(ended.failure)
    assert "another-canary" not in str(ended.failure)


def test_every_variable_of_the_server_is_listed_in_the_example(root: Path) -> None:
    """T47."""
    read = set(re.findall(r'"(RMTL_[A-Z_]+)"', (root / "pipelines/server.py").read_text()))
    assert len(read) == 6
    assert read <= set(re.findall(r"RMTL_[A-Z_]+", (root / ".env.example").read_text()))
