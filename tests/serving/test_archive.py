import io
import json
import pickle
import shutil
import stat
import struct
import time
import zipfile

import pytest

from model.errors import CheckpointError, StorageError
from model.serving.archive import HANDLER_FILE, MANIFEST_FILE, MEMBERS, PACKAGE_FILE, package, unpack
from model.weights import WEIGHTS_FILE
from tests.disk import full_disk


def rewritten(mar, target, change):
    """A copy of the archive with its members changed by `change(dict)`."""
    with zipfile.ZipFile(mar) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def test_same_weights_give_the_same_bytes(config, weights, mar, tmp_path):
    assert package(config.package, weights=weights, out=tmp_path, version="7").read_bytes() == mar.read_bytes()


def test_a_full_disk_leaves_the_former_archive(config, weights, mar, tmp_path):
    """T19."""
    former = shutil.copy(mar, tmp_path / mar.name).read_bytes()
    with full_disk(4096), pytest.raises(StorageError, match=r"residual-mtl\.mar: cannot be written after 4096 bytes"):
        package(config.package, weights=weights, out=tmp_path, version="8")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [former]


def test_unpacked_weights_are_the_packed_ones(weights, mar, tmp_path):
    folder = unpack(mar, tmp_path / "out")
    assert (folder / WEIGHTS_FILE).read_bytes() == (weights / WEIGHTS_FILE).read_bytes()


def test_archive_holds_no_module_of_a_reserved_name(mar):
    with zipfile.ZipFile(mar) as archive:
        assert sorted(archive.namelist()) == sorted(MEMBERS)
        assert not any(name.endswith("model.py") for name in archive.namelist())


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "extra.txt", "weights.pth", "C:\\evil", "ｍeta.json"]
)
def test_unknown_members_are_refused_before_any_write(mar, tmp_path, name):
    """T11: path traversal, absolute paths and unicode look-alikes."""
    bad = rewritten(mar, tmp_path / "bad.mar", lambda members: members.update({name: members.pop(PACKAGE_FILE)}))
    with pytest.raises(CheckpointError, match="unknown members"):
        unpack(bad, tmp_path / "target" / "out")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(mar, tmp_path, kind):
    """T11: a known name that is a link."""
    with zipfile.ZipFile(mar) as source, zipfile.ZipFile(tmp_path / "bad.mar", "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == PACKAGE_FILE:
                entry.external_attr = (kind | 0o777) << 16
                content = b"/etc/passwd"
            target.writestr(entry, content)
    with pytest.raises(CheckpointError, match="link"):
        unpack(tmp_path / "bad.mar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_by_its_ratio(mar, tmp_path):
    """T11: 1000:1."""
    bad = rewritten(mar, tmp_path / "bad.mar", lambda members: members.update({PACKAGE_FILE: bytes(30_000_000)}))
    with pytest.raises(CheckpointError, match="bomb"):
        unpack(bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_duplicate_names_are_refused(mar, tmp_path):
    """T11."""
    bad = tmp_path / "bad.mar"
    shutil.copy(mar, bad)
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(PACKAGE_FILE, b"{}")
    with pytest.raises(CheckpointError, match="entries"):
        unpack(bad, tmp_path / "out")


def test_a_million_entries_are_refused_without_reading_them(tmp_path):
    """T11: the end record alone says so, in less than two seconds of processor."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 65_535
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), 0, 0)
    (tmp_path / "bad.mar").write_bytes(directory + end)
    started = time.process_time()
    with pytest.raises(CheckpointError, match="65535 entries"):
        unpack(tmp_path / "bad.mar", tmp_path / "out")
    assert time.process_time() - started < 2


def test_a_pickle_in_place_of_the_weights_is_refused_unread(mar, tmp_path):
    """T33: nothing in the archive runs."""
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    bad = rewritten(mar, tmp_path / "bad.mar", lambda members: members.update({WEIGHTS_FILE: pickle.dumps(Evil())}))
    with pytest.raises(CheckpointError, match="digest"):
        unpack(bad, tmp_path / "out")
    assert not canary.exists()


def test_another_version_of_the_code_is_refused(mar, tmp_path):
    def change(members):
        about = json.loads(members[PACKAGE_FILE])
        members[PACKAGE_FILE] = json.dumps(about | {"package_version": "99.0.0"}).encode()

    with pytest.raises(CheckpointError, match=r"made by version 99\.0\.0"):
        unpack(rewritten(mar, tmp_path / "bad.mar", change), tmp_path / "out")


def test_a_foreign_handler_is_refused(mar, tmp_path):
    """T33: TorchServe would import it."""
    foreign = {HANDLER_FILE: b"import os", MANIFEST_FILE: b'{"model": {"handler": "os:system"}}'}
    for name, content in foreign.items():
        bad = rewritten(mar, tmp_path / "bad.mar", lambda members, one={name: content}: members.update(one))
        with pytest.raises(CheckpointError, match="not the handler of this package"):
            unpack(bad, tmp_path / "out")


def test_an_archive_without_a_manifest_is_refused(mar, tmp_path):
    bad = rewritten(mar, tmp_path / "bad.mar", lambda members: members.update({MANIFEST_FILE: b"[]"}))
    with pytest.raises(CheckpointError, match="no manifest"):
        unpack(bad, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"hello", b"PK\3\4" + bytes(100)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "bad.mar").write_bytes(content)
    with pytest.raises(CheckpointError, match="archive"):
        unpack(tmp_path / "bad.mar", tmp_path / "out")


def test_a_cut_off_archive_is_refused(mar, tmp_path):
    (tmp_path / "bad.mar").write_bytes(mar.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="archive"):
        unpack(tmp_path / "bad.mar", tmp_path / "out")


def test_weights_that_do_not_load_are_not_packed(config, weights, tmp_path):
    shutil.copytree(weights, tmp_path / "weights")
    (tmp_path / "weights" / WEIGHTS_FILE).write_bytes(io.BytesIO(b"x" * 100).getvalue())
    with pytest.raises(CheckpointError, match="digest"):
        package(config.package, weights=tmp_path / "weights", out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
