"""Archives of benchmarks: what is unpacked, and all that is refused without a trace."""

import bz2
import errno
import gzip
import io
import lzma
import os
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

import model.data.unpack
from model.config import Config, UnpackConfig
from model.data.unpack import Unpacked, unpack_archive
from model.errors import ConfigError, DataContractError, StorageError
from tests.command import Command

FILES = {"train/happy/1.jpg": b"one" * 1000, "train/sad/2.jpg": os.urandom(5000), "readme.txt": b""}
PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
Unpack = Callable[..., Unpacked]


def entry(name: str, kind: bytes = tarfile.REGTYPE, **values: object) -> tarfile.TarInfo:
    """What a tar says of an entry."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in values.items():
        setattr(info, key, value)
    return info


def tar_of(*entries: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """A tar of entries without content, and of files by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for item in entries:
            if isinstance(item, tuple):
                archive.addfile(entry(item[0], size=len(item[1])), io.BytesIO(item[1]))
            else:
                archive.addfile(item)
    return buffer.getvalue()


def zip_of(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of files, and of entries with attributes of their own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_entry(name: str, kind: int) -> zipfile.ZipInfo:
    """An entry of a zip that is a link, a device, and the like."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.fixture(params=["with tarfile's filter", "by our own rules alone"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules hold on a Python whose filter lets everything pass, or that has none."""
    if "own" in str(request.param):
        monkeypatch.setattr(model.data.unpack, "_FILTER", None)


@pytest.fixture
def unpack(config: Config, tmp_path: Path) -> Unpack:
    """`unpack(content, **limits)` unpacks these bytes to `data/set`."""

    def run(content: bytes, **limits: float) -> Unpacked:
        (tmp_path / "archive").write_bytes(content)
        changed = UnpackConfig.model_validate(config.unpack.model_dump() | limits)
        return unpack_archive(changed, tmp_path / "archive", tmp_path / "data/set")

    return run


@pytest.fixture
def refused(unpack: Unpack, tmp_path: Path) -> Callable[..., None]:
    """`refused(content, reason, **limits)`: nothing is left behind, inside or outside of the target."""

    def run(content: bytes, reason: str, **limits: float) -> None:
        before = sorted(tmp_path.parent.rglob("*"))
        with pytest.raises(DataContractError, match=rf"archive[,:] (?s:.*){reason}(?s:.*)nothing was unpacked"):
            unpack(content, **limits)
        left = set(tmp_path.parent.rglob("*")) - set(before)
        assert left <= {tmp_path / "archive", tmp_path / "data"}

    return run


def found(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_tar_of_any_compression_is_unpacked(suffix: str, unpack: Unpack, tmp_path: Path) -> None:
    result = unpack(PACKERS[suffix](tar_of(entry("train", tarfile.DIRTYPE, mode=0), *FILES.items())))
    assert found(tmp_path / "data/set") == FILES
    assert result == (3, 8000, ["readme.txt", "train"])
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["set"]


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_packed_in_several_streams_is_unpacked(
    packer: Callable[[bytes], bytes], unpack: Unpack, tmp_path: Path
) -> None:
    content = tar_of(*FILES.items())
    unpack(packer(content[:3000]) + packer(content[3000:]))
    assert found(tmp_path / "data/set") == FILES


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_unpacked(method: int, unpack: Unpack, tmp_path: Path) -> None:
    unpack(zip_of(("train/", b""), *FILES.items(), method=method))
    assert found(tmp_path / "data/set") == FILES


def test_names_from_a_dot_and_folders_named_twice_are_no_fault(unpack: Unpack, tmp_path: Path) -> None:
    folders = [entry(name, tarfile.DIRTYPE) for name in (".", "./a", "./a/")]
    unpack(tar_of(*folders, ("./a//1.jpg", b"1"), ("a/é ü.jpg", b"2")))
    assert found(tmp_path / "data/set") == {"a/1.jpg": b"1", "a/é ü.jpg": b"2"}


def test_a_name_of_three_hundred_letters_is_read(unpack: Unpack, tmp_path: Path) -> None:
    name = "/".join("abcdefghij" * 10 for _ in range(3)) + ".jpg"
    unpack(tar_of((name, b"1")))
    assert found(tmp_path / "data/set") == {name: b"1"}


def test_files_are_plain_ones_of_this_user(unpack: Unpack, tmp_path: Path) -> None:
    """T11: no set-user-id bit, no program, no owner."""
    unpack(tar_of(entry("a", mode=0o6777, uid=12345, size=0)))
    file = (tmp_path / "data/set/a").stat()
    assert (stat.S_IMODE(file.st_mode) & 0o7111, file.st_uid) == (0, os.getuid())


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("a/../b", "leads out"),
        ("a/..", "leads out"),
        ("\u2025/evil", "leads out"),
        ("\uff0e\uff0e/evil", "leads out"),
        ("/tmp/evil", "absolute name"),
        ("//evil", "absolute name"),
        ("\uff0ftmp/evil", "absolute name"),
        ("C:/evil", "absolute name"),
        ("C:evil", "absolute name"),
        ("..\\evil", "backslash"),
        ("a\x1b[2Jb", "cannot be seen"),
        ("a\u202egpj.exe", "cannot be seen"),
        ("a\u200bb", "cannot be seen"),
        ("a" * 256, "longer than"),
        ("a/" * 600 + "b", "longer than"),
        (".", "without a name"),
    ],
)
def test_names_that_leave_the_folder_or_cannot_be_seen_are_refused(
    name: str, reason: str, refused: Callable[..., None]
) -> None:
    """T11: `../`, absolute names, drives, letters that become them, and names that a terminal would not show."""
    refused(tar_of(("first", b"1"), (name, b"evil")), reason)
    refused(zip_of(("first", b"1"), (name, b"evil")), reason)


def test_a_name_that_is_no_utf8_is_refused(refused: Callable[..., None]) -> None:
    """T11."""
    refused(tar_of(("a\udcffb", b"1")), "no UTF-8")


def test_a_zero_byte_in_a_name_is_refused(refused: Callable[..., None]) -> None:
    """T11: the name would be another one behind it."""
    refused(zip_of(("good.jpgXevil", b"1")).replace(b"good.jpgX", b"good.jpg\0"), "zero byte")


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("goal", ["/etc/passwd", "../../outside", "a/../../..", ".."])
def test_links_out_of_the_folder_are_refused(kind: bytes, goal: str, refused: Callable[..., None]) -> None:
    """T11."""
    refused(tar_of(("a", b"1"), entry("link", kind, linkname=goal)), "a link out of the folder")


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("goal", ["/etc/passwd", "../../outside"])
def test_links_out_of_the_folder_are_refused_in_a_zip(goal: str, refused: Callable[..., None]) -> None:
    """T11."""
    refused(zip_of(("a", b"1"), (zip_entry("link", stat.S_IFLNK), goal.encode())), "a link out of the folder")


@pytest.mark.usefixtures("both")
def test_no_entry_is_written_through_a_link(refused: Callable[..., None]) -> None:
    """T11: the chain of CVE-2025-4517, where a path too long to resolve hides that a link leads upwards."""
    folder, steps = "d" * 247, "abcdefghijklmnop"
    entries: list[tarfile.TarInfo | tuple[str, bytes]] = []
    path = ""
    for letter in steps[:3]:
        entries.append(entry(f"{path}{folder}", tarfile.DIRTYPE))
        entries.append(entry(f"{path}{letter}", tarfile.SYMTYPE, linkname=folder))
        path += f"{folder}/"
    entries.append(entry("escape", tarfile.SYMTYPE, linkname=f"{'/'.join(steps)}/../../outside"))
    entries.append(("escape/evil", b"evil"))
    refused(tar_of(*entries), "a link to ")


@pytest.mark.usefixtures("both")
def test_a_folder_that_is_a_link_is_refused(refused: Callable[..., None]) -> None:
    """T11: no link to a folder, so nothing can be written through one."""
    refused(tar_of(entry("a", tarfile.DIRTYPE), entry("b", tarfile.SYMTYPE, linkname="a"), ("b/c", b"1")), "no file")


def test_a_link_to_a_file_before_it_becomes_a_copy(unpack: Unpack, tmp_path: Path) -> None:
    symbolic = entry("b/c/2.jpg", tarfile.SYMTYPE, linkname="../../a/1.jpg")
    result = unpack(tar_of(("a/1.jpg", b"1"), symbolic, entry("b/3.jpg", tarfile.LNKTYPE, linkname="a/1.jpg")))
    assert found(tmp_path / "data/set") == dict.fromkeys(("a/1.jpg", "b/c/2.jpg", "b/3.jpg"), b"1")
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in (tmp_path / "data/set").rglob("*.jpg"))
    assert result.bytes == 3


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_are_refused(kind: bytes, refused: Callable[..., None]) -> None:
    """T11."""
    refused(tar_of(("a", b"1"), entry("device", kind)), "special file")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_are_refused_in_a_zip(kind: int, refused: Callable[..., None]) -> None:
    """T11."""
    refused(zip_of(("a", b"1"), (zip_entry("device", kind), b"")), "special file")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("a/1.jpg", "a/1.jpg", "second entry"),
        ("a/1.jpg", "./a//1.jpg", "second entry"),
        ("a/1.jpg", "a/1.JPG", "but for case"),
        ("a/1.jpg", "A/2.jpg", "but for case"),
        ("stra\u00dfe", "STRASSE", "but for case"),
        ("\u00e9", "e\u0301", "Unicode form"),
        ("\uff4deta.json", "meta.json", "Unicode form"),
        ("a", "a/1.jpg", "second entry"),
        ("a/1.jpg", "a", "second entry"),
    ],
)
def test_two_entries_of_one_name_are_refused(
    first: str, second: str, reason: str, refused: Callable[..., None]
) -> None:
    """T11: duplicates, also such as one file system in two would take for one."""
    refused(tar_of((first, b"1"), (second, b"2")), reason)
    with pytest.warns(UserWarning, match="Duplicate") if first == second else nullcontext():
        content = zip_of((first, b"1"), (second, b"2"))
    refused(content, reason)


def test_an_encrypted_zip_is_refused(refused: Callable[..., None]) -> None:
    """T11: bit 0 of the flags, in both headers."""
    content = bytearray(zip_of(("a.jpg", b"1")))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    refused(bytes(content), "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_zipfile_unpacks_without_bound_are_refused(method: int, refused: Callable[..., None]) -> None:
    """T11: 5 GB of zeros are 4 KB of bzip2, and would lie in memory at once."""
    refused(zip_of(("a.jpg", bytes(100)), method=method), "neither stored nor deflated")


@pytest.mark.parametrize("size", [100, 512, 1000, 1536, 3000, 6000])
@pytest.mark.parametrize("suffix", PACKERS)
def test_a_tar_that_is_cut_off_is_refused(suffix: str, size: int, refused: Callable[..., None]) -> None:
    """T11: within a header, at the border of two entries, within a file, and without the mark of the end."""
    content = tar_of(("a", b"1" * 500), ("b", os.urandom(4000)))
    refused(PACKERS[suffix](content[:size]), "cut off, damaged")


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_that_is_cut_off_is_refused(
    packer: Callable[[bytes], bytes], refused: Callable[..., None]
) -> None:
    """T11: also where all files are whole and the checksum behind them is missing."""
    content = packer(tar_of(*FILES.items()))
    for size in (20, len(content) // 2, len(content) - 4):
        refused(content[:size], "cut off, damaged")


@pytest.mark.parametrize("size", [20, 0.5, -4])
def test_a_zip_that_is_cut_off_is_refused(size: float, refused: Callable[..., None]) -> None:
    """T11."""
    content = zip_of(*FILES.items())
    refused(content[: int(size * len(content)) if isinstance(size, float) else size], "cut off, damaged")


def test_flipped_bits_are_refused(refused: Callable[..., None]) -> None:
    """T11: by the checksums of the formats that have any."""
    content = bytearray(zip_of(("a.jpg", os.urandom(5000)), method=zipfile.ZIP_STORED))
    content[1000] ^= 1
    refused(bytes(content), "Bad CRC-32")
    content = bytearray(gzip.compress(tar_of(("a.jpg", os.urandom(5000)))))
    content[2000] ^= 1
    refused(bytes(content), "cut off, damaged")


@pytest.mark.parametrize("content", [b"", b"no archive", os.urandom(2000), b"7z\xbc\xaf\x27\x1c" * 100, b"PK" * 50])
def test_what_is_no_archive_is_refused(content: bytes, refused: Callable[..., None]) -> None:
    """T11."""
    refused(content, "neither tar nor zip")


def test_an_archive_of_nothing_is_refused(refused: Callable[..., None]) -> None:
    for content in (tar_of(), tar_of(entry("a", tarfile.DIRTYPE)), zip_of(("a/", b""))):
        refused(content, "holds no file")


def test_a_tar_behind_a_tar_is_refused(refused: Callable[..., None]) -> None:
    """T11: what one tool sees, another does not."""
    refused(tar_of(("a", b"1")) + tar_of(("b", b"2")), "behind the mark of its end")


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_too_many_entries_are_refused(make: Callable[..., bytes], refused: Callable[..., None]) -> None:
    """T11."""
    refused(make(*[(f"{number}.jpg", b"1") for number in range(11)]), "more than 10 entries", max_entries=10)


def test_folders_that_names_ask_for_count_as_entries(refused: Callable[..., None]) -> None:
    """T11: five hundred folders for each file."""
    refused(tar_of(*[(f"{number}/" + "a/" * 500 + "b", b"1") for number in range(3)]), "more than 999", max_entries=999)


def test_a_million_entries_of_a_zip_are_refused_by_counting_them(refused: Callable[..., None]) -> None:
    """T11: in less than two seconds, whatever number the end record says."""
    item = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = item * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), 0, 0)
    began = time.process_time()
    refused(directory + end, "more than 500000 entries")
    assert time.process_time() - began < 2


def test_twenty_thousand_entries_of_a_tar_are_refused_at_the_limit(refused: Callable[..., None]) -> None:
    """T11."""
    content = gzip.compress(entry("a", tarfile.DIRTYPE).tobuf() * 20_000, compresslevel=1)
    began = time.process_time()
    refused(content, "more than 1000 entries", max_entries=1000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_a_bomb_is_refused_before_it_grows(
    suffix: str, unpack: Unpack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """T11: 1000:1; no more is written than the ratio allows."""
    zeros = ("zeros", bytes(10 << 20))
    content = zip_of(zeros) if suffix == ".zip" else PACKERS[suffix](tar_of(zeros))
    written, began = kept(monkeypatch), time.process_time()
    with pytest.raises(DataContractError, match="a bomb"):
        unpack(content)
    assert time.process_time() - began < 2
    assert sum(written) <= max(1 << 20, 200 * len(content))
    assert not (tmp_path / "data/set").exists()


def test_overlapping_entries_are_refused(refused: Callable[..., None]) -> None:
    """T11: one piece of the archive as the content of many entries (CVE-2024-0450)."""
    content = zip_of(("a", b"1" * 3000), method=zipfile.ZIP_STORED)
    start = content.index(b"PK\1\2")
    item, end = content[start : content.index(b"PK\5\6")], bytearray(content[content.index(b"PK\5\6") :])
    end[8:12] = struct.pack("<HH", 50, 50)
    end[12:16] = struct.pack("<L", 50 * len(item))
    refused(content[:start] + item * 50 + bytes(end), "overlaps")


def test_limits_count_what_is_written(refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """T11: of one file, of all, and of copies that links ask for."""
    written = kept(monkeypatch)
    noise = os.urandom(300_000)
    refused(tar_of(("a", noise)), "max_entry_gb", max_entry_gb=0.0002)
    assert sum(written) <= 0.0002 * 2**30
    refused(zip_of(("a", noise)), "max_entry_gb", max_entry_gb=0.0002)
    refused(tar_of(("a", noise), ("b", noise)), "max_gb", max_gb=0.0004)
    links = [entry(f"{number}", tarfile.LNKTYPE, linkname="a") for number in range(9)]
    refused(tar_of(("a", noise), *links), "max_gb", max_gb=0.001)
    refused(tar_of(("a", noise), *links), "a bomb", max_ratio=2)


def test_a_zip_that_says_less_than_it_holds_is_refused(refused: Callable[..., None]) -> None:
    """T11: sizes in headers are claims."""
    content = bytearray(zip_of(("a", b"1" * 100_000)))
    for place in (22, content.index(b"PK\1\2") + 24):
        content[place : place + 4] = struct.pack("<L", 10)
    refused(bytes(content), "Bad CRC-32")


@pytest.mark.parametrize("size", [-512, -1, 1 << 62])
def test_sizes_that_no_file_has_are_refused(size: int, refused: Callable[..., None]) -> None:
    """T11: a negative one sends tarfile back for ever (CVE-2025-8194)."""
    head = bytearray(entry("a").tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b"\x80\0\0\0" + struct.pack(">q", size) if size > 0 else b"\xff" * 4 + struct.pack(">q", size)
    head[148:156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
    began = time.process_time()
    refused(tar_of(("first", b"1"))[:1024] + bytes(head) + bytes(2048), "negative size|ends .* bytes before")
    assert time.process_time() - began < 2


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_headers_without_end_are_not_read(kind: bytes, refused: Callable[..., None]) -> None:
    """T11: 32 MB of header would lie in memory; a long run of digits takes hours (CVE-2024-6232)."""
    head = entry("a", kind, size=32 << 20).tobuf(tarfile.GNU_FORMAT)
    began = time.process_time()
    refused(gzip.compress(head + b"1" * (32 << 20), compresslevel=1), "headers")
    assert time.process_time() - began < 4


def test_headers_before_headers_end(refused: Callable[..., None]) -> None:
    """T11: each would be a call deeper."""
    head = entry("a", tarfile.GNUTYPE_LONGNAME, size=1).tobuf(tarfile.GNU_FORMAT) + b"a" + bytes(511)
    refused(head * 5000, "headers")


def test_a_sparse_file_is_refused(refused: Callable[..., None]) -> None:
    """T11: a terabyte of holes in one block."""
    head = bytearray(entry("a", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % (1 << 32)
    head[148:156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
    refused(bytes(head) + bytes(1024), "sparse")


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_already_is_left_alone(kind: str, unpack: Unpack, tmp_path: Path) -> None:
    target = tmp_path / "data/set"
    target.parent.mkdir()
    {"folder": target.mkdir, "file": target.touch, "dangling link": lambda: target.symlink_to("nowhere")}[kind]()
    with pytest.raises(ConfigError, match="set: exists already; name another folder, or move this one away"):
        unpack(tar_of(("a", b"1")))
    assert list(target.parent.iterdir()) == [target]


def test_an_archive_that_is_not_there_is_named(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.tar: no such file"):
        unpack_archive(config.unpack, tmp_path / "absent.tar", tmp_path / "data")


def test_a_full_disk_leaves_nothing(unpack: Unpack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """T11, T19."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    written = kept(monkeypatch, fail_after=3000, error=full)
    with pytest.raises(StorageError, match=r"data/set: cannot be written after \d+ bytes .*No space left"):
        unpack(tar_of(*FILES.items()))
    assert written
    assert list((tmp_path / "data").iterdir()) == []


def test_a_killed_run_leaves_nothing_under_the_name(tmp_path: Path, root: Path) -> None:
    """T11, T18."""
    (tmp_path / "a.tar").write_bytes(tar_of(*FILES.items()))
    code = f"""
import os, signal
from pathlib import Path
from model.config import load_config
from model.data import unpack
unpack._Target._check = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
unpack.unpack_archive(load_config(Path({str(root / "params.yaml")!r})).unpack, Path("a.tar"), Path("data/set"))
"""
    environment = os.environ | {"PYTHONPATH": str(root)}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, env=environment)
    assert result.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "data").glob("*") if not path.name.startswith(".")] == []


def test_the_command_unpacks_and_says_what(rmtl: Command, workspace: Path) -> None:
    (workspace / "a.tar.gz").write_bytes(gzip.compress(tar_of(*FILES.items())))
    result = rmtl("data", "unpack", "a.tar.gz", "--into", "data/set", cwd=workspace)
    assert (result.returncode, found(workspace / "data/set")) == (0, FILES)
    assert result.stdout.split() == ["files", "3", "bytes", "8000", "top", "readme.txt", "train"]
    assert rmtl("data", "unpack", "a.tar.gz", "--into", "data/set", cwd=workspace).returncode == 2
    options = ("data", "unpack", "a.tar.gz", "--into", "data/other", "--set", "unpack.max_entries=4")
    result = rmtl(*options, cwd=workspace)
    assert result.returncode == 3
    assert "a.tar.gz, at entry 'train/sad/2.jpg': more than 4 files and folders" in result.stderr


def kept(monkeypatch: pytest.MonkeyPatch, *, fail_after: int = 1 << 60, error: OSError | None = None) -> list[int]:
    """Lengths of all that is written from now on; beyond `fail_after` bytes writing fails."""
    written: list[int] = []
    whole = Path.open

    def opened(path: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        stream = whole(path, mode, *arguments, **options)  # type: ignore[call-overload]
        if mode == "xb":
            write = stream.write

            def counted(piece: bytes) -> int:
                written.append(len(piece))
                if error and sum(written) > fail_after:
                    raise error
                return int(write(piece))

            stream = Counted(stream, counted)
        return stream

    monkeypatch.setattr(Path, "open", opened)
    return written


class Counted:
    """A file whose writing is watched."""

    def __init__(self, stream: io.BufferedWriter, write: Callable[[bytes], int]) -> None:
        self.stream, self.write = stream, write

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
