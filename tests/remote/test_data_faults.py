"""T20: an S3 server that asks to slow down, is slow, loses its bucket or its client in the middle of a transfer."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.object_proxy import Proxy, Request, run_proxy
from components.ingest import ingest
from model.errors import ServiceError
from model.s3 import TRIES, s3_client
from model.storage import read_bytes
from tests.command import Command, contents
from tests.components.artifacts import made
from tests.remote.places import BUCKET, LONGEST_S, REMOTE, check_data_travel, digest, dvc, lose_data
from tests.s3 import Server, run_server

pytestmark = pytest.mark.service

FILES = 48
SLOW_S = 0.3


@pytest.fixture
def proxy(server: Server, bucket: Any, configured: Callable[..., Any]) -> Iterator[Proxy]:
    """The proxy before the server with the bucket; commands of the test go through it."""
    with run_proxy(server.url) as running:
        configured(running.url)
        yield running


@pytest.fixture(scope="module")
def many_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with enough small files for a transfer to have a middle."""
    project = shutil.copytree(template, tmp_path_factory.mktemp("many") / "project")
    for number in range(FILES):
        (project / "data" / f"{number}.txt").write_text(f"{number}\n" * 100)
    subprocess.run([*dvc(), "add", "--quiet", "data"], cwd=project, check=True, capture_output=True)
    return project


@pytest.fixture
def many(many_template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(many_template, tmp_path / "many")


def stored(bucket: Any) -> dict[str, bytes]:
    """Every object of the bucket."""
    listed = bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {item["Key"]: bucket.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed}


def damaged(objects: dict[str, bytes]) -> list[str]:
    """Keys whose object is not the one that DVC's name, its MD5, says."""
    named = {key: "".join(key.split("/")[-2:]).removesuffix(".dir") for key in objects}
    return [key for key, content in objects.items() if hashlib.md5(content).hexdigest() != named[key]]


def check_the_rest_is_sent(rmtl: Command, project: Path, bucket: Any, proxy: Proxy) -> None:
    """Of a push that broke off nothing half is there, and the next one sends what is missing and nothing else."""
    there, wanted = stored(bucket), len(contents(project / "data")) + 1
    assert 0 < len(there) < wanted
    assert damaged(there) == []
    assert not [key for key in there if key.endswith(".dir")], "the list of a version comes after its files"
    proxy.seen.clear()
    again = rmtl("data", "push", cwd=project)
    assert again.returncode == 0, again.stderr
    assert proxy.count("PUT") == wanted - len(there)
    assert len(stored(bucket)) == wanted
    assert damaged(stored(bucket)) == []


def at_first(times: int) -> Callable[[Request], bool]:
    """Refuses each request as often as said, then lets it pass."""
    asked: Counter[tuple[str, str]] = Counter()

    def refuse(request: Request) -> bool:
        asked[request.method, request.path] += 1
        return asked[request.method, request.path] <= times

    return refuse


def test_a_read_is_tried_again_and_not_for_ever(bucket: Any, proxy: Proxy) -> None:
    bucket.put_object(Bucket=BUCKET, Key="a", Body=b"content")
    proxy.refuse = at_first(TRIES - 1)
    assert read_bytes(f"s3://{BUCKET}/a") == b"content"
    assert len(proxy.seen) == TRIES
    proxy.refuse = lambda _: True
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"asked to slow down .* wait, then run the same again"):
        read_bytes(f"s3://{BUCKET}/a")
    assert len(proxy.seen) == 2 * TRIES
    assert time.monotonic() - began < 30


def test_a_slow_answer_is_waited_for_and_a_silent_server_given_up(
    bucket: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="a", Body=b"content")
    proxy.delay_s = SLOW_S
    assert read_bytes(f"s3://{BUCKET}/a") == b"content"
    proxy.delay_s = 2.5
    monkeypatch.setattr("model.s3.READ_S", 1)
    s3_client.cache_clear()
    with pytest.raises(ServiceError, match="cannot be reached: Read timeout"):
        read_bytes(f"s3://{BUCKET}/a")


@pytest.mark.long
def test_a_server_that_asks_to_slow_down_gets_the_data_later(
    rmtl: Command, project: Path, bucket: Any, proxy: Proxy
) -> None:
    """Each request is refused twice, of a push and of a pull."""
    before = contents(project / "data")
    proxy.refuse = at_first(2)
    pushed = rmtl("data", "push", cwd=project)
    assert pushed.returncode == 0, pushed.stderr
    assert damaged(stored(bucket)) == []
    lose_data(project)
    proxy.refuse = at_first(2)
    pulled = rmtl("data", "pull", cwd=project)
    assert pulled.returncode == 0, pulled.stderr
    assert contents(project / "data") == before


@pytest.mark.long
@pytest.mark.parametrize("methods", [("GET", "HEAD", "PUT", "POST"), ("PUT",)], ids=["everything", "uploads"])
def test_a_server_that_keeps_asking_ends_with_exit_code_5(
    methods: tuple[str, ...], rmtl: Command, project: Path, bucket: Any, proxy: Proxy
) -> None:
    """Within a bounded time, with a line that says what to do, and nothing under a final name."""
    proxy.refuse = lambda request: request.method in methods
    began = time.monotonic()
    result = rmtl("data", "push", cwd=project)
    assert time.monotonic() - began < LONGEST_S
    assert result.returncode == 5
    last = result.stderr.strip().splitlines()[-1]
    if "GET" in methods:
        assert last.startswith(f"error: {REMOTE}: the server asked to slow down")
        assert "wait, then run the same again" in last
    else:
        assert last.startswith("error: dvc push data.dvc --remote s3")
        assert "run again" in last
    assert stored(bucket) == {}


@pytest.mark.long
def test_a_slow_server_gets_and_gives_the_data(rmtl: Command, project: Path, bucket: Any, proxy: Proxy) -> None:
    proxy.delay_s = SLOW_S
    check_data_travel(rmtl, project)


@pytest.mark.long
def test_a_slow_fetch_of_a_pipeline_tells_how_far_it_is(
    rmtl: Command, many: Path, proxy: Proxy, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """In the log of its step, where DVC shows no bar."""
    assert rmtl("data", "push", cwd=many).returncode == 0
    monkeypatch.setattr("model.data.arrival.EVERY_S", 0.1)
    one_by_one = threading.Lock()

    def take_time(_: Request) -> None:
        with one_by_one:
            time.sleep(0.05)

    proxy.before = take_time
    ingest.python_func(digest(many), REMOTE, made(tmp_path, "data"))
    lines = [record.getMessage() for record in caplog.records if record.name == "model.data.arrival"]
    counts, wanted = [int(line.split()[1]) for line in lines], len(contents(many / "data"))
    assert counts == sorted(counts)
    assert len(set(counts) - {0, wanted}) > 2
    assert f"fetched {wanted} of {wanted} files" in lines[-1]


@pytest.mark.long
def test_a_bucket_deleted_in_mid_run_ends_with_exit_code_5_and_is_filled_again(
    rmtl: Command, many: Path, bucket: Any, proxy: Proxy
) -> None:
    once = threading.Event()

    # SeaweedFS would list no object whose folder was being made while its bucket was deleted, hence `held`.
    def delete_bucket(request: Request) -> None:
        with proxy.held():
            if request.method == "PUT" and proxy.count("PUT") > FILES // 2 and not once.is_set():
                once.set()
                for item in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", []):
                    bucket.delete_object(Bucket=BUCKET, Key=item["Key"])
                bucket.delete_bucket(Bucket=BUCKET)

    proxy.before, proxy.delay_s = delete_bucket, 0.05
    result = rmtl("data", "push", cwd=many)
    assert once.is_set()
    assert result.returncode == 5
    assert "no such bucket" in result.stderr.strip().splitlines()[-1]
    bucket.create_bucket(Bucket=BUCKET)
    again = rmtl("data", "push", cwd=many)
    assert again.returncode == 0, again.stderr
    assert len(stored(bucket)) == len(contents(many / "data")) + 1
    assert damaged(stored(bucket)) == []


@pytest.mark.long
def test_a_push_killed_in_the_middle_leaves_whole_objects_and_goes_on(
    rmtl: Command, many: Path, bucket: Any, proxy: Proxy
) -> None:
    """After kill -9 each object is the one its name says, and only what is missing is sent."""
    proxy.delay_s = SLOW_S
    command = [sys.executable, "-c", "from model.cli import main; main()", "data", "push"]
    with subprocess.Popen(command, cwd=many, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while proxy.count("PUT") < FILES // 2 and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(3 * SLOW_S)
    check_the_rest_is_sent(rmtl, many, bucket, proxy)


@pytest.mark.long
def test_a_server_killed_in_the_middle_of_a_push_holds_no_half_and_the_rerun_goes_on(
    rmtl: Command, many: Path, configured: Callable[..., Any], tmp_path: Path
) -> None:
    """T20: started again on the same disk it has whole objects, no list of the version, and gets the rest."""
    folder, killed = tmp_path / "s3", threading.Event()
    folder.mkdir()
    with run_server(folder) as doomed, run_proxy(doomed.url) as proxy:
        client = configured(proxy.url)
        client.create_bucket(Bucket=BUCKET)
        proxy.seen.clear()

        def kill(request: Request) -> None:
            if request.method == "PUT" and proxy.count("PUT") > FILES // 2 and not killed.is_set():
                killed.set()
                doomed.end()

        proxy.before, proxy.delay_s = kill, 0.05
        began = time.monotonic()
        result = rmtl("data", "push", cwd=many)
        assert killed.is_set()
        assert result.returncode == 5
        assert time.monotonic() - began < 2 * LONGEST_S
        assert "cannot be reached" in result.stderr.strip().splitlines()[-1]
        with run_server(folder) as revived:
            proxy.upstream, proxy.delay_s = revived.url, 0
            check_the_rest_is_sent(rmtl, many, client, proxy)
