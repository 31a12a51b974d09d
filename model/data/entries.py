"""Entries of a tar (plain, gzip, bzip2, xz) or a zip, in the terms of a tar: what one says of itself, and its bytes."""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import IO, NamedTuple

from model.archives import CHUNK, ArchiveError, TarReader, open_zip

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LOCAL_HEADER = 30
_LONGEST_LINK = 4096


class Entry(NamedTuple):
    """An entry; `read` gives its bytes in pieces, `packed` is how many of the archive hold them, where known."""

    says: tarfile.TarInfo
    read: Callable[[], Iterator[bytes]]
    packed: int | None = None


def read_entries(stream: IO[bytes], *, max_entries: int) -> Iterator[Entry]:
    """Entries in order; the bytes of each must be read before the next is asked for.

    Raises:
        ArchiveError: too many entries, encrypted or overlapping ones, or such as no reader can be trusted with.
        tarfile.TarError, zipfile.BadZipFile, and what decompressors raise: damaged, cut off, or another format.
    """
    head = stream.read(6)
    stream.seek(0)
    with ExitStack() as stack:
        if head.startswith(b"PK"):
            yield from _zip_entries(stack.enter_context(open_zip(stream, max_entries=max_entries)))
            return
        tar = TarReader(stack.enter_context(_unpacked(stream, head)), max_entries=max_entries)
        for says in tar:
            yield Entry(says, partial(tar.read, says))


def _unpacked(stream: IO[bytes], head: bytes) -> IO[bytes]:
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(stream)  # type: ignore[return-value]
    if head.startswith(b"BZh"):
        return bz2.open(stream)
    if head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        return lzma.open(stream)
    return stream


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[Entry]:
    items = archive.infolist()
    end = 0
    for item in sorted(items, key=lambda item: item.header_offset):
        if item.header_offset < end:
            raise ArchiveError(f"{item.filename[:200]!a} overlaps another entry")
        end = item.header_offset + _LOCAL_HEADER + item.compress_size
    for item in items:
        says = _as_in_tar(item)
        read = partial(_zip_pieces, archive, item)
        if says.issym():
            says.linkname = b"".join(read()).decode()
        yield Entry(says, read, item.compress_size)


def _as_in_tar(item: zipfile.ZipInfo) -> tarfile.TarInfo:
    name = f"{item.orig_filename[:200]!a}"
    if item.orig_filename != item.filename:
        raise ArchiveError(f"{name}: its name has a zero byte")
    if item.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{name} is encrypted; unpack it with its own tool")
    if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks a piece of the other methods whole, however long it becomes.
        raise ArchiveError(f"{name} is neither stored nor deflated; unpack it with its own tool")
    says = tarfile.TarInfo(item.filename)
    says.size = item.file_size
    kind = stat.S_IFMT(item.external_attr >> 16)
    if item.is_dir() or kind == stat.S_IFDIR:
        says.type = tarfile.DIRTYPE
    elif kind == stat.S_IFLNK:
        says.type = tarfile.SYMTYPE
        if item.file_size > _LONGEST_LINK:
            raise ArchiveError(f"{name}: a link of {item.file_size} bytes")
    elif kind not in (0, stat.S_IFREG):
        says.type = tarfile.CHRTYPE
    return says


def _zip_pieces(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(item) as source:
        while piece := source.read(CHUNK):
            yield piece
