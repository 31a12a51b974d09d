"""Packs of pictures and archives of models that nobody vouches for, where they are only read."""

import io
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import model.storage
from model.archives import ArchiveError, TarReader, open_zip
from model.data.contents import Contents
from model.errors import StorageError
from model.storage import digest_bytes, read_bytes
from tests.data.layouts import make_pack


def entry(name: str, size: int = 0) -> bytes:
    """The header of a file of a tar."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_entries_and_their_bytes_are_those_of_tarfile(tmp_path: Path) -> None:
    members = {"a": b"1" * 1000, "b" * 300: b"2" * 512, "empty": b""}
    make_pack(tmp_path / "a.tar", members)
    with (tmp_path / "a.tar").open("rb") as stream:
        reader = TarReader(stream, max_entries=3)
        assert {item.name: b"".join(reader.read(item)) for item in reader} == members


def test_a_pack_of_too_many_members_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T11."""
    monkeypatch.setattr(model.storage, "PACK_ENTRIES", 2)
    make_pack(tmp_path / "a.tar", {"1": b"", "2": b"", "3": b""})
    with pytest.raises(StorageError, match=r"a\.tar!1: cannot be read .*more than 2 entries"):
        read_bytes("a.tar!1", tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (entry("1") + entry("1") + bytes(1024), "two members 1"),
        (entry("1", 3) + b"abc" + bytes(509), "no end mark"),
        (entry("1", 3) + b"abc" + bytes(509) + entry("2")[:100], "no end mark"),
        (entry("1", 1 << 32) + bytes(1024), "unexpected end of data"),
        (entry("1") + bytes(1024) + entry("2") + bytes(1024), "behind the mark of its end"),
    ],
)
def test_a_pack_that_is_damaged_or_ambiguous_is_not_read(tmp_path: Path, content: bytes, reason: str) -> None:
    """T11: two members of one name, a pack cut off between two members or within one, and one behind another."""
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(StorageError, match=rf"a\.tar!1: cannot be read .*{reason}"):
        read_bytes("a.tar!1", tmp_path)


def test_the_directory_of_a_zip_is_counted_before_it_is_read(tmp_path: Path) -> None:
    """T11."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(4):
            archive.writestr(str(number), b"")
    assert len(open_zip(buffer, max_entries=4).infolist()) == 4
    with pytest.raises(ArchiveError, match="more than 3 entries"):
        open_zip(buffer, max_entries=3)


def test_a_search_for_faces_passes_over_archives_that_would_take_its_memory(tmp_path: Path) -> None:
    """T11: a description of the weights that unpacks to 40 MB, and a zip of a hundred thousand entries."""
    with zipfile.ZipFile(tmp_path / "bomb.mar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", b'{"mean_shape": ' + b" " * (40 << 20) + b"1}")
    item = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100_000 * len(item), 0, 0)
    (tmp_path / "many.mar").write_bytes(item * 100_000 + end)
    contents = Contents(frozenset())
    began = time.process_time()
    for name in ("bomb.mar", "many.mar"):
        contents.look_into(tmp_path / name, name)
    assert contents.trained == {}
    assert time.process_time() - began < 2
    assert f"a directory of {100_000 * len(item)} bytes, too large for 1000 entries" in contents.unread["many.mar"]
    assert contents.unread.keys() == {"bomb.mar", "many.mar"}


class Counted(io.BytesIO):
    """A stream that knows the most that was asked of it at once."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.most = max(self.most, len(content))
        return content


def test_a_directory_beyond_the_bound_is_refused_before_its_bytes_are_read() -> None:
    """T11."""
    entry_bytes = 5_000_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, entry_bytes, 0, 0)
    stream = Counted(bytes(entry_bytes) + end)
    with pytest.raises(ArchiveError, match="a directory of 5000000 bytes"):
        open_zip(stream, max_entries=10)
    assert 0 < stream.most < entry_bytes / 10


def test_a_search_for_faces_finds_what_stands_before_the_damage(tmp_path: Path) -> None:
    make_pack(tmp_path / "a.tar", {"1": b"one", "2": b"two"})
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:1500])
    contents = Contents(frozenset({digest_bytes(b"one")}))
    contents.look_into(tmp_path / "a.tar", "a")
    assert contents.pictures == {"a": {digest_bytes(b"one"): ["1"]}}
    assert contents.unread["a"].startswith("what is in it cannot be read: ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("faces.zip", "a zip without meta.json"),
        ("notes.zip", "a zip whose meta.json describes no weights"),
        ("faces.tar.gz", "compressed as gzip"),
        ("faces.tar.bz2", "compressed as bzip2"),
        ("faces.tar.xz", "compressed as xz"),
        ("broken.zip", "not a zip file"),
        ("broken.parquet", ""),
    ],
)
def test_a_search_for_faces_tells_what_it_does_not_look_into(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    match path.suffix:
        case ".zip" if name != "broken.zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("meta.json" if name == "notes.zip" else "1.png", b"{}")
        case ".gz" | ".bz2" | ".xz":
            with tarfile.open(path, f"w:{path.suffix[1:]}"):  # type: ignore[call-overload]
                pass
        case _:
            path.write_bytes({".zip": b"PK\3\4", ".parquet": b"PAR1"}[path.suffix] + bytes(100))
    contents = Contents(frozenset())
    contents.look_into(path, "it")
    assert reason in contents.unread["it"]


@pytest.mark.parametrize("content", [b"", b"text", b'{"image": "1.png"}\n{"image": "2.png"}\n', b"\x89PNG\r\n\x1a\n"])
def test_files_that_hold_no_others_are_not_told_as_unread(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    contents = Contents(frozenset())
    contents.look_into(tmp_path / "file", "file")
    assert contents.unread == {}
