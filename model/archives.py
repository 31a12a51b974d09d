"""Tars and zips that nobody vouches for: bounds on what Python's readers take in before a caller can look at an entry.

Nothing is written here, and what the names of entries mean is the caller's business.
"""

import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO

PACK_ENTRIES = 1_000_000
"""Most entries of a tar that pictures are read from in place."""

CHUNK = 1 << 20

_LARGEST_HEADERS = 1 << 13
_LARGEST_TAIL = 1 << 24
_SMALLEST_BOUND = 1 << 20
_DIRECTORY_ENTRY = b"PK\x01\x02"
_BYTES_AN_ENTRY = 1024


class ArchiveError(Exception):
    """What is in an archive is refused; the message says why, and leaves it to the caller to name the archive."""


class TarReader:
    """The entries of an uncompressed tar, read forwards and once.

    tarfile alone reads a header of any length into memory, in quadratic time (CVE-2024-6232), turns back for ever at an
    entry of negative size (CVE-2025-8194), and takes a tar that is cut off between two entries for a whole one.
    """

    def __init__(self, stream: IO[bytes], *, max_entries: int) -> None:
        self._stream = _Headers(stream)
        self._max_entries = max_entries

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """What each entry says of itself.

        Raises:
            ArchiveError: too many entries, a sparse one, one of negative size, or too long a header.
            tarfile.TarError: no tar, a damaged one, or one without its end.
        """
        for number, entry in enumerate(self._entries(), start=1):
            if number > self._max_entries:
                raise ArchiveError(f"more than {self._max_entries} entries")
            if entry.size < 0 or entry.issparse():
                raise ArchiveError(f"{entry.name!a} is sparse, or of negative size")
            yield entry
        self._stream.check_end()

    def read(self, entry: tarfile.TarInfo) -> Iterator[bytes]:
        """The bytes of the entry that the iteration has reached, in pieces.

        Raises:
            tarfile.ReadError: the tar ends within them.
        """
        left = entry.size
        while left:
            piece = self._stream.source.read(min(left, CHUNK))
            if not piece:
                raise tarfile.ReadError(f"ends {left} bytes before the end of {entry.name!a}")
            left -= len(piece)
            yield piece

    def _entries(self) -> Iterator[tarfile.TarInfo]:
        self._stream.room = _LARGEST_HEADERS
        with tarfile.TarFile(fileobj=self._stream) as archive:
            while (entry := archive.next()) is not None:
                # tarfile keeps every entry, for access by name.
                archive.members.clear()  # type: ignore[attr-defined]
                yield entry
                self._stream.room = _LARGEST_HEADERS


class _Headers:
    """The stream as tarfile sees it: it goes forwards, and `room` bytes may be read from it."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.room = 0
        self._last = b""

    def tell(self) -> int:
        return self.source.tell()

    def seek(self, place: int) -> None:
        if place < self.source.tell():
            raise ArchiveError("an entry that leads back to one before it")
        self.source.seek(place)

    def read(self, size: int) -> bytes:
        self.room -= abs(size)
        if size < 0 or self.room < 0:
            raise ArchiveError(f"an entry with headers of a negative size, or of more than {_LARGEST_HEADERS} bytes")
        self._last = self.source.read(size)
        return self._last

    def write(self, content: bytes) -> object:
        raise NotImplementedError

    def close(self) -> None:
        """The source is its owner's to close."""

    def check_end(self) -> None:
        """The block that ended the iteration has to be the mark of the end, with nothing but padding behind it."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("has no end mark behind its last readable entry")
        room = _LARGEST_TAIL
        while padding := self.source.read(CHUNK):
            room -= len(padding)
            if room < 0 or padding.strip(b"\0"):
                raise ArchiveError("more behind the mark of its end")


def open_zip(stream: IO[bytes], *, max_entries: int) -> zipfile.ZipFile:
    """A zip whose directory is counted before zipfile makes an object of each entry.

    Raises:
        ArchiveError: too many entries.
        zipfile.BadZipFile: no zip, or a damaged one.
    """
    return zipfile.ZipFile(_Directory(stream, max_entries))


class _Directory:
    """The stream as zipfile sees it, which reads the directory in one piece, whatever the end record says of it."""

    def __init__(self, source: IO[bytes], max_entries: int) -> None:
        self.seek, self.tell, self.seekable = source.seek, source.tell, source.seekable
        self._source, self._max_entries = source, max_entries

    def read(self, size: int = -1) -> bytes:
        if size > max(_SMALLEST_BOUND, _BYTES_AN_ENTRY * self._max_entries):
            raise ArchiveError(f"a directory of {size} bytes, too large for {self._max_entries} entries")
        content = self._source.read(size)
        if content.count(_DIRECTORY_ENTRY) > self._max_entries:
            raise ArchiveError(f"more than {self._max_entries} entries")
        return content
