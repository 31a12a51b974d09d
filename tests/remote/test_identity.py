"""Who asks S3: a profile, a web identity or keys, in our requests and in DVC's, before a real server with STS."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dvc.config import Config

from model.data.ingest import fetch_version
from model.errors import ConfigError, ServiceError
from model.identity import ASSUME
from model.s3 import TRIES, reached, s3_client
from model.storage import read_bytes
from tests.command import Command, contents
from tests.issuer import ROLE, Issuer, roles, run_issuer
from tests.remote.places import BUCKET, REMOTE, check_data_travel, digest, unknown
from tests.s3 import ACCESS, SECRET, Server, run_server

pytestmark = pytest.mark.service

OBJECT = f"s3://{BUCKET}/a"
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}

As = Callable[..., None]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with run_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Trusts the issuer, and answers requests to STS too."""
    with run_server(tmp_path_factory.mktemp("s3"), roles=roles(issuer)) as running:
        yield running


@pytest.fixture
def identify(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> As:
    """`identify(NAME=value, ...)`: these variables alone say who this process is; the bucket has one object."""
    bucket.put_object(Bucket=BUCKET, Key="a", Body=b"content")

    def become(**variables: str) -> None:
        unknown(monkeypatch)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        s3_client.cache_clear()

    return become


@pytest.fixture
def profile(server: Server, tmp_path: Path) -> dict[str, str]:
    """A profile in the usual two files, which name the server too."""
    settings, credentials = tmp_path / "config", tmp_path / "credentials"
    settings.write_text(f"[profile faces]\nregion = us-east-1\nendpoint_url = {server.url}\n")
    credentials.write_text(f"[faces]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n")
    return {
        "AWS_PROFILE": "faces",
        "AWS_CONFIG_FILE": str(settings),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
    }


@pytest.fixture
def token(issuer: Issuer, tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(issuer.token())
    return file


@pytest.fixture
def web(server: Server, token: Path) -> dict[str, str]:
    """A web identity as a pod gets it; S3 and STS under one address, as servers like MinIO have them."""
    return {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_data_travel_for_a_profile(
    rmtl: Command, project: Path, identify: As, profile: dict[str, str], tmp_path: Path
) -> None:
    """Our requests and DVC's; the keys stay in the profile."""
    identify(**profile)
    said = check_data_travel(rmtl, project)
    assert read_bytes(OBJECT) == b"content"
    assert SECRET not in said
    assert not [name for name, content in contents(project).items() if SECRET.encode() in content]
    assert "endpointurl" not in Config(str(project / ".dvc"))["remote"]["s3"]


def test_data_travel_for_a_web_identity(
    rmtl: Command, project: Path, identify: As, web: dict[str, str], token: Path, tmp_path: Path
) -> None:
    """As in a pod: pushed, then fetched by digest; the token stays in its file."""
    identify(**web)
    pushed = rmtl("data", "push", cwd=project)
    assert pushed.returncode == 0, pushed.stderr
    fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(project / "data")
    assert token.read_text() not in "".join(pushed[1:])
    assert not [name for name, content in contents(project).items() if token.read_bytes() in content]


def test_a_profile_may_name_a_web_identity(server: Server, identify: As, profile: dict[str, str], token: Path) -> None:
    Path(profile["AWS_SHARED_CREDENTIALS_FILE"]).unlink()
    with Path(profile["AWS_CONFIG_FILE"]).open("a") as settings:
        settings.write(f"role_arn = {ROLE}\nweb_identity_token_file = {token}\n")
    identify(**profile)
    assert read_bytes(OBJECT) == b"content"


def test_the_first_of_keys_web_identity_and_profile_counts(
    identify: As, profile: dict[str, str], web: dict[str, str]
) -> None:
    identify(**profile, **web, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert read_bytes(OBJECT) == b"content"
    identify(**{**profile, "AWS_PROFILE": "other"}, **KEYS | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    with pytest.raises(ConfigError, match="AWS_PROFILE"):
        read_bytes(OBJECT)
    identify(**profile, **KEYS | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    with pytest.raises(ServiceError, match="look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: "):
        read_bytes(OBJECT)


@pytest.mark.parametrize("claims", [{"life_s": -60}, {"aud": "another"}, {"iss": "http://127.0.0.1:9"}, None], ids=str)
def test_a_refused_token_ends_with_exit_code_5_and_names_its_variable(
    claims: dict[str, Any] | None,
    rmtl: Command,
    project: Path,
    *,
    bucket: Any,
    identify: As,
    issuer: Issuer,
    web: dict[str, str],
    token: Path,
) -> None:
    """T20: before DVC is started, and the token itself is in no line."""
    token.write_text("no-token-at-all" if claims is None else issuer.token(**claims))
    identify(**web)
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 5
    assert "the web identity is refused; look at AWS_WEB_IDENTITY_TOKEN_FILE" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert token.read_text() not in result.stdout + result.stderr
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


def test_a_token_that_was_renewed_in_its_file_is_taken_up(
    identify: As, issuer: Issuer, web: dict[str, str], token: Path
) -> None:
    """Without a new process: the node renews the tokens of its pods."""
    token.write_text(issuer.token(life_s=-60))
    identify(**web)
    with pytest.raises(ServiceError, match="expired"):
        read_bytes(OBJECT)
    token.write_text(issuer.token())
    assert read_bytes(OBJECT) == b"content"


def test_a_role_that_is_not_there_is_named(identify: As, web: dict[str, str]) -> None:
    identify(**{**web, "AWS_ROLE_ARN": "arn:aws:iam::role/Nobody"})
    with pytest.raises(ServiceError, match=r"look at .* AWS_ROLE_ARN: .*role not found: Nobody"):
        read_bytes(OBJECT)


def test_a_token_that_the_server_repeats_is_hidden(issuer: Issuer) -> None:
    answer = {"Error": {"Code": "InvalidIdentityToken", "Message": f"cannot take {issuer.token()} for a token"}}
    with pytest.raises(ServiceError, match=r"cannot take \(token\) for a token"), reached(OBJECT):
        raise ClientError(answer, ASSUME)


def test_temporary_keys_that_have_ended_are_named(identify: As) -> None:
    identify(**KEYS, AWS_SESSION_TOKEN="ended")
    ended = {"Error": {"Code": "ExpiredToken", "Message": "The provided token has expired."}}
    with (
        pytest.raises(ServiceError, match=r"have ended, .*renew AWS_ACCESS_KEY_ID .* and AWS_SESSION_TOKEN"),
        reached(OBJECT),
    ):
        raise ClientError(ended, "GetObject")


def test_wrong_keys_are_named_by_where_they_come_from(server: Server, identify: As, profile: dict[str, str]) -> None:
    Path(profile["AWS_SHARED_CREDENTIALS_FILE"]).write_text(
        f"[faces]\naws_access_key_id = {ACCESS}\naws_secret_access_key = another-secret\n"
    )
    identify(**profile)
    with pytest.raises(ServiceError, match=r"the keys are wrong .*look at AWS_PROFILE=faces") as told:
        read_bytes(OBJECT)
    assert "another-secret" not in str(told.value)
    identify(**KEYS, AWS_SESSION_TOKEN="another-token", AWS_ENDPOINT_URL_S3=server.url)
    with pytest.raises(ServiceError, match="AWS_SESSION_TOKEN") as told:
        read_bytes(OBJECT)
    assert "another-token" not in str(told.value)


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("profile", {"AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
        ("profile", {"AWS_CONFIG_FILE": "broken"}, "AWS_CONFIG_FILE"),
        ("web", {"AWS_WEB_IDENTITY_TOKEN_FILE": "nowhere"}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("web", {"AWS_ROLE_ARN": None}, "AWS_ROLE_ARN"),
        ("web", {"AWS_ACCESS_KEY_ID": "half"}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_settings_end_with_exit_code_2(
    kind: str,
    change: dict[str, str | None],
    named: str,
    *,
    rmtl: Command,
    project: Path,
    identify: As,
    request: pytest.FixtureRequest,
) -> None:
    """And name the variable, before DVC is started."""
    (project / "broken").write_text("no section\n")
    variables: dict[str, str | None] = {**request.getfixturevalue(kind), **change}
    identify(**{name: value for name, value in variables.items() if value is not None})
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 2
    assert named in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_without_any_keys_the_kinds_of_them_are_named(
    rmtl: Command, project: Path, server: Server, identify: As
) -> None:
    identify(AWS_ENDPOINT_URL_S3=server.url)
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 5
    assert "no keys: set AWS_ACCESS_KEY_ID" in result.stderr
    doctor = rmtl("doctor", cwd=project)
    assert doctor.returncode == 5
    assert "no keys: set AWS_ACCESS_KEY_ID" in doctor.stdout


def test_sts_that_is_away_or_silent_is_given_up(
    identify: As, web: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries and seconds are bounded as those of S3."""
    identify(**web, AWS_ENDPOINT_URL_STS="http://127.0.0.1:9")
    with pytest.raises(ServiceError, match=r"cannot be reached: .*127\.0\.0\.1:9"):
        read_bytes(OBJECT)
    monkeypatch.setattr("model.s3.READ_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        identify(**web, AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ServiceError, match="cannot be reached: Read timeout"):
            read_bytes(OBJECT)
        assert time.monotonic() - began < TRIES * 10
