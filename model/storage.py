"""Bytes in and out: files, `s3://` objects, members of packs; atomic writes; digests.

Nothing else opens pictures, and nothing else writes a file that another step reads.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from model.archives import PACK_ENTRIES, ArchiveError, TarReader
from model.errors import FaceError, StorageError
from model.s3 import read_object

PACK_SEPARATOR = "!"
_PACK_END = f".tar{PACK_SEPARATOR}"
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What a write that finds no room fails with."""
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def read_bytes(address: str, root: Path = Path()) -> bytes:
    """The bytes behind an `image` column: a path under `root`, `s3://bucket/key`, or `pack.tar!member`.

    Raises:
        StorageError: no such file, object or member, or it cannot be read.
        ServiceError: S3 is away, overloaded, or refuses.
    """
    if address.startswith("s3://"):
        return read_object(address)
    # A file's own name may hold the separator; a pack's ends before it.
    pack, found, member = address.partition(_PACK_END)
    try:
        return _read_member(root / f"{pack}.tar", member) if found else (root / address).read_bytes()
    # A path with a zero byte is a ValueError.
    except (OSError, ValueError, ArchiveError) as error:
        raise StorageError(f"{address}: cannot be read under {root}: {error}; is the data pulled?") from error


def leaves_folder(address: str) -> bool:
    """Whether the path of an `image` column leads out of the folder that it starts from."""
    path = PurePosixPath(address)
    return not address.startswith("s3://") and (path.is_absolute() or ".." in path.parts)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path in the folder of `target` that takes its place when the block ends well.

    A file or a folder may be written there. After a failure, or a kill, `target` is as it was before; a folder that
    takes another's place may be missing after a kill between its two renames, never half there.

    Raises:
        StorageError: the disk is full, the place cannot be written, or another process has put a folder there
            meanwhile; the message names path and bytes.
    """
    scratch = _scratch(target)
    temporary = scratch / target.name
    try:
        yield temporary
        _replace(temporary, target, scratch)
    except OSError as error:
        full, refused = error.errno in FULL, error.errno in _REFUSED and _is_below(error.filename, target.parent)
        if not full and not refused:
            raise
        written = sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file())
        raise _unwritten(target, written, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, a file beside it.

    Raises:
        StorageError: another process holds it.
    """
    busy = StorageError(f"{folder}: another process works there; wait for it, or end it")
    with holding(folder.with_name(f".{folder.name}.lock"), busy):
        yield


@contextmanager
def holding(lock: Path, busy: FaceError) -> Iterator[None]:
    """Hold the lock of a file, which is made, and which the kernel frees when the process ends in any way.

    Raises:
        FaceError: `busy`, where another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise busy from error
        yield


def append_text(path: Path, text: str) -> None:
    """Append to a file, which is there from now on.

    Raises:
        StorageError: the disk is full or the place cannot be written; the message names path and bytes.
    """
    try:
        with path.open("a") as stream:
            stream.write(text)
    except OSError as error:
        raise StorageError(
            f"{path}: {len(text)} bytes cannot be appended ({error.strerror}; {_free(path)} bytes free); "
            "make room, then run the same again"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, keys in the given order, atomically; NaN is refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        StorageError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read as JSON: {error}; run the step that writes it") from error


def digest_bytes(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_tree(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and bytes; neither times nor modes count.

    Raises:
        StorageError: nothing is there.
    """
    if path.is_file():
        return digest_file(path)
    if not path.is_dir():
        raise StorageError(f"{path}: nothing is there; run the step that writes it")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_bytes(
        "".join(f"{file.relative_to(path).as_posix()}\0{digest_file(file)}\n" for file in files).encode()
    )


def _scratch(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritten(target, 0, error) from error


def _unwritten(target: Path, written: int, error: OSError) -> StorageError:
    return StorageError(
        f"{target}: cannot be written after {written} bytes ({error.strerror}; {_free(target)} bytes free); "
        "make room or choose another folder, what was there before is unchanged"
    )


def _free(path: Path) -> int:
    """Bytes free where `path` is or would be."""
    return shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.is_dir())).free


def _is_below(name: str | bytes | int | None, folder: Path) -> bool:
    """Whether an error speaks of a path in the folder, or of none."""
    return not isinstance(name, str) or Path(name).absolute().is_relative_to(folder.absolute())


def _replace(temporary: Path, target: Path, scratch: Path) -> None:
    if not (temporary.is_dir() and target.is_dir()):
        temporary.replace(target)
        return
    former = target.replace(scratch / "former")
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise StorageError(f"{target}: another process has written it meanwhile; run the same again") from error
        former.replace(target)
        raise


def _read_member(pack: Path, member: str) -> bytes:
    stat = pack.stat()
    index = _pack_index(pack, stat.st_size, stat.st_mtime_ns)
    if isinstance(index, str):
        raise ArchiveError(index)
    offset, size = index.get(member, (0, -1))
    if size < 0:
        raise FileNotFoundError(errno.ENOENT, "no such member in the pack", member)
    with pack.open("rb") as stream:
        return os.pread(stream.fileno(), size, offset)


@cache
def _pack_index(pack: Path, size: int, modified_ns: int) -> dict[str, tuple[int, int]] | str:
    """Offset and size of each regular member; a pack whose size or time changed is read anew.

    What is wrong with a damaged pack is given back, to be kept as well: it is not looked through for each member again.
    """
    try:
        return _members(pack)
    except (tarfile.TarError, ArchiveError) as error:
        return str(error)


def _members(pack: Path) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    with pack.open("rb") as stream:
        for item in TarReader(stream, max_entries=PACK_ENTRIES):
            if item.name in found:
                raise ArchiveError(f"two members {item.name}")
            if item.isreg():
                found[item.name] = item.offset_data, item.size
    return found
