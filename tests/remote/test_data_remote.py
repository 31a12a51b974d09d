"""Data versions through a real S3 server: there and back, and what happens when it is not there."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.config import Config

from model.data.ingest import fetch_version
from model.errors import ServiceError, StorageError
from model.s3 import READ_S
from model.storage import read_bytes
from tests.command import Command, contents
from tests.remote.places import BUCKET, LONGEST_S, REMOTE, digest, lose_data
from tests.s3 import ACCESS, SECRET, Server, run_server

pytestmark = pytest.mark.service


def alter(client: Any, name: bytes) -> None:
    """Change one byte of the object that holds `name`."""
    for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        content = client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        if name in content:
            client.put_object(Bucket=BUCKET, Key=item["Key"], Body=content.replace(name, name.swapcase()))


def test_pushed_data_come_back_whole(rmtl: Command, project: Path, bucket: Any) -> None:
    """T20: and the keys stay out of files and output."""
    before, version = contents(project / "data"), digest(project)
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 0, result.stderr
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == len(before) + 1
    lose_data(project)
    pulled = rmtl("data", "pull", cwd=project)
    assert pulled.returncode == 0, pulled.stderr
    assert contents(project / "data") == before
    assert digest(project) == version
    status = rmtl("data", "status", cwd=project)
    assert status.returncode == 0, status.stderr
    assert "up to date" in status.stdout
    for text in (*result[1:], *pulled[1:], *status[1:]):
        assert SECRET not in text
    assert [name for name, content in contents(project).items() if SECRET.encode() in content] == []
    assert [name for name, content in contents(project).items() if ACCESS.encode() in content] == []


def test_dvc_starts_once_and_the_remote_is_in_its_local_settings(
    rmtl: Command, project: Path, configured: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured("http://127.0.0.1:9")
    commands: list[list[str]] = []

    def start(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("model.cli.data.subprocess.run", start)
    monkeypatch.setattr("model.cli.data.probe", lambda _: None)
    assert rmtl("data", "push", cwd=project).returncode == 0
    assert [command[2:] for command in commands] == [["dvc", "push", "data.dvc", "--remote", "s3"]]
    monkeypatch.undo()
    config = Config(str(project / ".dvc"))
    assert config["remote"]["s3"] == {**config["remote"]["s3"], "url": REMOTE, "verify": True, "read_timeout": READ_S}
    assert config["remote"]["s3"]["endpointurl"] == "http://127.0.0.1:9"
    assert "s3" not in config.read("repo")["remote"]
    ignored = ["git", "check-ignore", "--quiet", ".dvc/config.local"]
    assert subprocess.run(ignored, cwd=project, check=False).returncode == 0


def test_the_remote_named_s3_is_the_one_of_the_environment(
    rmtl: Command, project: Path, configured: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one that an earlier call left in DVC's local settings."""
    monkeypatch.setattr("model.cli.data.subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, 0))
    monkeypatch.setattr("model.cli.data.probe", lambda _: None)
    for remote in ("s3://former/data", REMOTE):
        configured("http://127.0.0.1:9", remote=remote)
        assert rmtl("data", "push", "--remote", "s3", cwd=project).returncode == 0
        assert Config(str(project / ".dvc"))["remote"]["s3"]["url"] == remote


def test_a_pull_without_room_ends_with_exit_code_1(
    rmtl: Command, project: Path, configured: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """T19: where DVC failed, S3 is well and the data do not fit; the message names bytes and place."""
    configured("http://127.0.0.1:9")
    monkeypatch.setattr("model.cli.data.subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    monkeypatch.setattr("model.cli.data.probe", lambda _: None)
    size = sum(len(content) for content in contents(project / "data").values())
    for free, code in ((size - 1, 1), (size, 5)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: shutil._ntuple_diskusage(size, size, free))
        result = rmtl("data", "pull", cwd=project)
        assert result.returncode == code
        assert (f"{free} bytes are free in {project}" in result.stderr) == (code == 1)


def test_outside_a_dvc_project_a_push_ends_with_exit_code_2(
    rmtl: Command, workspace: Path, configured: Callable[..., Any]
) -> None:
    configured("http://127.0.0.1:9")
    result = rmtl("data", "push", cwd=workspace)
    assert result.returncode == 2
    assert "run in the folder of data.dvc" in result.stderr


def test_status_tells_what_the_remote_lacks(rmtl: Command, project: Path, bucket: Any) -> None:
    result = rmtl("data", "status", cwd=project)
    assert result.returncode == 0, result.stderr
    assert "new:" in result.stdout


def test_an_object_is_read_by_its_address(bucket: Any) -> None:
    bucket.put_object(Bucket=BUCKET, Key="pictures/a b.webp", Body=b"content")
    assert read_bytes(f"s3://{BUCKET}/pictures/a b.webp") == b"content"
    with pytest.raises(StorageError, match=rf"s3://{BUCKET}/absent: cannot be fetched: .*NoSuchKey"):
        read_bytes(f"s3://{BUCKET}/absent")


def test_a_version_is_fetched_by_its_digest(rmtl: Command, project: Path, bucket: Any, tmp_path: Path) -> None:
    assert rmtl("data", "push", cwd=project).returncode == 0
    fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(project / "data")
    with pytest.raises(ServiceError, match="no such version; was it pushed"):
        fetch_version(f"{'0' * 32}.dir", remote=REMOTE, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_fetch_that_broke_off_goes_on_with_what_it_has(
    rmtl: Command, project: Path, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T20: files that came once are not asked for again."""
    monkeypatch.setenv("RMTL_DATA_CACHE", str(tmp_path / "cache"))
    assert rmtl("data", "push", cwd=project).returncode == 0
    listed = [item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]]
    lost = next(key for key in listed if not key.endswith(".dir"))
    content = bucket.get_object(Bucket=BUCKET, Key=lost)["Body"].read()
    bucket.delete_object(Bucket=BUCKET, Key=lost)
    with pytest.raises(ServiceError, match="dvc pull"):
        fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")
    for key in listed:
        if not key.endswith(".dir"):
            bucket.delete_object(Bucket=BUCKET, Key=key)
    bucket.put_object(Bucket=BUCKET, Key=lost, Body=content)
    fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(project / "data")


def test_altered_bytes_are_never_handed_on(rmtl: Command, project: Path, bucket: Any, tmp_path: Path) -> None:
    """T15: an object changed in the bucket stops a pull and a fetch."""
    assert rmtl("data", "push", cwd=project).returncode == 0
    alter(bucket, b'"subject": "val0"')
    with pytest.raises(ServiceError, match="dvc pull"):
        fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    lose_data(project)
    assert rmtl("data", "pull", cwd=project).returncode == 5
    assert not (project / "data/made/labels.jsonl").exists()
    alter(bucket, b'"relpath": "made/labels.jsonl"')
    with pytest.raises(ServiceError, match=f"{digest(project)[2:]}: altered since it was pushed"):
        fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")


@pytest.mark.long
def test_a_lost_object_is_sent_again_once_the_list_of_its_version_is_gone(
    rmtl: Command, project: Path, bucket: Any
) -> None:
    """As the runbook says: where the list is there, DVC takes all of its files for sent."""

    def names() -> set[str]:
        return {item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    assert rmtl("data", "push", cwd=project).returncode == 0
    whole = names()
    lost = next(name for name in whole if not name.endswith(".dir"))
    bucket.delete_object(Bucket=BUCKET, Key=lost)
    assert rmtl("data", "push", cwd=project).returncode == 0
    assert names() == whole - {lost}
    version = digest(project)
    bucket.delete_object(Bucket=BUCKET, Key=f"data/files/md5/{version[:2]}/{version[2:]}")
    assert rmtl("data", "push", cwd=project).returncode == 0
    assert names() == whole


def test_wrong_keys_end_with_exit_code_5(
    rmtl: Command, project: Path, bucket: Any, server: Server, configured: Callable[..., Any]
) -> None:
    """T20."""
    configured(server.url, secret="another-secret")
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 5
    assert f"error: {REMOTE}: the keys are wrong" in result.stderr
    assert "another-secret" not in result.stdout + result.stderr
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    with pytest.raises(ServiceError, match="the keys are wrong"):
        read_bytes(f"s3://{BUCKET}/a")


def test_a_missing_bucket_ends_with_exit_code_5(
    rmtl: Command, project: Path, server: Server, configured: Callable[..., Any]
) -> None:
    """T20."""
    configured(server.url, remote="s3://nowhere/data")
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 5
    assert "error: s3://nowhere/data: no such bucket" in result.stderr
    doctor = rmtl("doctor", cwd=project)
    assert doctor.returncode == 5
    assert "away  s3" in doctor.stdout


@pytest.mark.long
def test_a_server_that_died_ends_with_exit_code_5(
    rmtl: Command, project: Path, configured: Callable[..., Any], tmp_path: Path
) -> None:
    """T20: within a bounded time; nothing is lost here."""
    folder = tmp_path / "s3"
    folder.mkdir()
    with run_server(folder) as doomed:
        configured(doomed.url).create_bucket(Bucket=BUCKET)
        doomed.end()
        before = contents(project / "data")
        started = time.monotonic()
        result = rmtl("data", "push", cwd=project)
        assert result.returncode == 5
        assert f"error: {REMOTE}: cannot be reached" in result.stderr
        assert time.monotonic() - started < LONGEST_S
        with pytest.raises(ServiceError, match="cannot be reached"):
            read_bytes(f"s3://{BUCKET}/a")
        with pytest.raises(ServiceError, match="rmtl doctor"):
            fetch_version(digest(project), remote=REMOTE, out=tmp_path / "fetched")
        assert contents(project / "data") == before
        assert not (tmp_path / "fetched").exists()


def test_an_address_that_is_not_s3_ends_with_exit_code_2(
    rmtl: Command, project: Path, configured: Callable[..., Any]
) -> None:
    configured("http://127.0.0.1:9", remote="/somewhere")
    result = rmtl("data", "push", cwd=project)
    assert result.returncode == 2
    assert "RMTL_S3_REMOTE=/somewhere" in result.stderr
