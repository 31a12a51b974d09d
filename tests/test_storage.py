"""Bytes in and out: packs, atomic writes, full disks."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model import storage
from model.archives import TarReader
from model.errors import StorageError
from model.s3 import s3_client
from model.storage import (
    alone_in,
    append_text,
    atomic_path,
    digest_bytes,
    digest_file,
    read_bytes,
    read_json,
    write_json,
)
from tests.data.layouts import make_pack


def test_a_file_and_a_member_of_a_pack_are_read_alike(tmp_path: Path) -> None:
    make_pack(tmp_path / "train.tar", {"000001.webp": b"one", "000002.webp": b"two"})
    (tmp_path / "plain.webp").write_bytes(b"two")
    assert read_bytes("train.tar!000002.webp", tmp_path) == read_bytes("plain.webp", tmp_path) == b"two"


def test_a_pack_that_changed_is_read_anew(tmp_path: Path) -> None:
    make_pack(tmp_path / "a.tar", {"x": b"old"})
    assert read_bytes("a.tar!x", tmp_path) == b"old"
    make_pack(tmp_path / "a.tar", {"y": b"longer than before", "x": b"new"})
    os.utime(tmp_path / "a.tar", ns=(1, 1))
    assert read_bytes("a.tar!x", tmp_path) == b"new"


def test_a_file_may_be_called_as_a_member_is(tmp_path: Path) -> None:
    (tmp_path / "wow!").mkdir()
    (tmp_path / "wow!/no!.webp").write_bytes(b"one")
    make_pack(tmp_path / "wow!/a.tar", {"b!.webp": b"two"})
    assert read_bytes("wow!/no!.webp", tmp_path) == b"one"
    assert read_bytes("wow!/a.tar!b!.webp", tmp_path) == b"two"


@pytest.mark.parametrize("address", ["missing.webp", "missing.tar!x", "a.tar!absent"])
def test_what_is_missing_is_named(tmp_path: Path, address: str) -> None:
    make_pack(tmp_path / "a.tar", {"x": b"1"})
    with pytest.raises(StorageError, match=f"{address}: cannot be read"):
        read_bytes(address, tmp_path)


def test_a_file_that_is_no_pack_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"not a tar archive" * 100)
    with pytest.raises(StorageError, match=r"a\.tar!x: cannot be read"):
        read_bytes("a.tar!x", tmp_path)


def test_a_damaged_pack_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T11: each of its rows fails, and none of them takes the time of reading it again."""
    make_pack(tmp_path / "a.tar", {"x": b"1", "y": b"2"})
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:1100])
    readers: list[object] = []
    monkeypatch.setattr(storage, "TarReader", lambda *given, **named: readers.append(0) or TarReader(*given, **named))
    for member in ("x", "y", "z"):
        with pytest.raises(StorageError, match=f"a.tar!{member}: cannot be read"):
            read_bytes(f"a.tar!{member}", tmp_path)
    assert len(readers) == 1


def test_a_name_that_no_disk_can_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        read_bytes("a\0.webp", tmp_path)


@pytest.mark.parametrize("address", ["s3://bucket", "s3:///key", "s3://my faces/1.webp"])
def test_an_address_that_s3_cannot_have_is_an_error_of_its_own(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One such row must not end a run as a server that is away does."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "made")
    s3_client.cache_clear()
    with pytest.raises(StorageError, match="no address of an object"):
        read_bytes(address)
    s3_client.cache_clear()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="interrupted"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ValueError("interrupted")
    assert read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_path(tmp_path / "shards") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["two"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_worked_in_by_one_process_at_a_time(tmp_path: Path) -> None:
    """T24: the lock ends with its process, however that ends."""
    folder = tmp_path / "train"
    code = f"""
import time
from pathlib import Path
from model.storage import alone_in
with alone_in(Path({str(folder)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(StorageError, match="train: another process works there"), alone_in(folder):
        pass
    holder.kill()
    holder.communicate()
    with alone_in(folder):
        pass


def test_a_place_where_no_folder_can_be_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for target in (tmp_path / "file/report.json", tmp_path / "file/deeper/report.json"):
        with pytest.raises(
            StorageError, match=r"report\.json: cannot be written after 0 bytes \((Not a dir|File exists)"
        ):
            write_json(target, {})


def test_what_cannot_be_read_is_not_told_as_what_cannot_be_written(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere/weights"
    with pytest.raises(PermissionError), atomic_path(tmp_path / "here/report.json"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(elsewhere))


def test_a_folder_that_another_process_wrote_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "shards"
    target.mkdir()
    (target / "former").touch()
    replace = Path.replace

    def overtaken(source: Path, to: Path) -> Path:
        moved = replace(source, to)
        if source == target:
            target.mkdir()
            (target / "theirs").touch()
        return moved

    monkeypatch.setattr(Path, "replace", overtaken)
    with (
        pytest.raises(StorageError, match="shards: another process has written it meanwhile"),
        atomic_path(target) as temporary,
    ):
        temporary.mkdir()
        (temporary / "ours").touch()
    assert [path.name for path in target.iterdir()] == ["theirs"]


def test_a_full_disk_names_path_and_bytes(tmp_path: Path) -> None:
    """T19."""
    target = tmp_path / "weights.bin"
    target.write_bytes(b"before")
    message = r"weights\.bin: cannot be written after 4096 bytes .*No space left"
    with pytest.raises(StorageError, match=message), atomic_path(target) as temporary:
        temporary.write_bytes(bytes(4096))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert target.read_bytes() == b"before"


def test_a_file_size_limit_is_reported_and_nothing_is_half_written(tmp_path: Path) -> None:
    """T19, with a limit that the kernel enforces."""
    code = f"""
import resource, signal
from pathlib import Path
from model.errors import StorageError
from model.storage import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
try:
    with atomic_path(Path({str(tmp_path / "big.bin")!r})) as temporary:
        temporary.write_bytes(bytes(100000))
except StorageError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "big.bin: cannot be written after 10000 bytes" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_file_that_is_appended_to_and_the_bytes() -> None:
    """T19."""
    with pytest.raises(StorageError, match=r"/dev/full: 4 bytes cannot be appended \(No space left.*bytes free"):
        append_text(Path("/dev/full"), "text")


def test_a_killed_writer_leaves_the_former_file(tmp_path: Path) -> None:
    """T18."""
    target = tmp_path / "report.json"
    write_json(target, {"a": 1})
    code = f"""
import os, signal
from pathlib import Path
from model.storage import atomic_path
with atomic_path(Path({str(target)!r})) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == -signal.SIGKILL
    assert read_json(target) == {"a": 1}


def test_nan_never_reaches_a_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "report.json", {"nme": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_broken_json_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(StorageError, match="cannot be read as JSON"):
        read_json(tmp_path / "report.json")


def test_both_digests_agree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert digest_file(tmp_path / "file") == digest_bytes(b"content")
