"""Archives of benchmarks become folders, whoever made them: tars and zips by one set of rules.

Every entry is judged before it is written, and sizes by what is really written. A link is written as a copy of the
file that it leads to, so that no link ever lies in the folder: what tarfile's `data` filter has let pass through links
(CVE-2024-12718, CVE-2025-4138, CVE-2025-4330, CVE-2025-4517) finds none to go through.
"""

import lzma
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from model.archives import CHUNK, ArchiveError
from model.config.data import UnpackConfig
from model.data.entries import Entry, read_entries
from model.data.names import Names
from model.errors import ConfigError, DataContractError
from model.storage import atomic_path

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
)
_GB = 1 << 30
_ALWAYS = 1 << 20
"""Bytes that no ratio is asked of: a small file of zeros is no bomb."""

# Not in Python before 3.11.4.
_FILTER = getattr(tarfile, "data_filter", None)


class Unpacked(NamedTuple):
    """What was written: files, their bytes, and the names at the top of the folder."""

    files: int
    bytes: int
    top: list[str]


def unpack_archive(config: UnpackConfig, archive: Path, into: Path) -> Unpacked:
    """Write the files of a tar (plain, gzip, bzip2, xz) or a zip to the folder `into`, which must not exist.

    `into` appears whole or not at all. Owners, times and modes are not taken over.

    Raises:
        ConfigError: no such archive, or `into` exists.
        DataContractError: the archive is neither, is damaged or cut off, is over a limit, or has an entry that would
            leave the folder, that is no file, folder or link to a file before it, that is encrypted, or whose name is
            another's but for case or Unicode form.
        StorageError: the disk is full, or cannot be written.
    """
    if not archive.is_file():
        raise ConfigError(f"{archive}: no such file; name a tar or a zip")
    _check_free(into)
    with atomic_path(into) as folder, archive.open("rb") as stream:
        folder.mkdir()
        target = _Target(folder, config, archive.stat().st_size)
        _fill(target, stream, archive, config.max_entries)
        _check_free(into)
    return Unpacked(len(target.files), target.written, sorted(path.name for path in into.iterdir()))


def _check_free(into: Path) -> None:
    if into.exists() or into.is_symlink():
        raise ConfigError(f"--into {into}: exists already; name another folder, or move this one away")


def _fill(target: "_Target", stream: IO[bytes], archive: Path, max_entries: int) -> None:
    place = "before its first entry"
    with tqdm(total=target.size, desc=f"unpack {archive.name}", unit="B", unit_scale=True, disable=None) as progress:
        try:
            for entry in read_entries(stream, max_entries=max_entries):
                name = f"entry {entry.says.name[:200]!a}"
                place = f"at {name}"
                target.add(entry)
                place = f"after {name}"
                progress.update(max(0, stream.tell() - progress.n))
        except ArchiveError as error:
            raise DataContractError(
                f"{archive}, {place}: {error}; refused, nothing was unpacked (limits: section `unpack` of params.yaml)"
            ) from error
        except (*_DAMAGED, OSError) as error:
            # Decompressors raise it without a number; one with a number is the disk's.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataContractError(
                f"{archive}, {place}: cut off, damaged, or neither tar nor zip: {error}; nothing was unpacked; "
                "fetch it again, other formats need their own tool"
            ) from error
    if not target.files:
        raise DataContractError(f"{archive}: holds no file; nothing was unpacked")


class _Target:
    """The folder that is written, and what was written so far."""

    def __init__(self, folder: Path, config: UnpackConfig, size: int) -> None:
        self.size = size
        self.files: set[str] = set()
        self.written = 0
        self._folder, self._config = folder, config
        self._names = Names()
        self._made: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Write one entry.

        Raises:
            ArchiveError: it is refused.
        """
        says = entry.says
        name = self._names.claim(says.name, folder=says.isdir())
        if len(self._names) > self._config.max_entries:
            raise ArchiveError(f"more than {self._config.max_entries} files and folders")
        if says.isdir():
            self._filter(says)
            self._make(name)
        elif says.isreg():
            self._filter(says)
            self._write(name, entry)
        elif says.islnk() or says.issym():
            goal = self._goal(name, says)
            self._filter(says)
            self._write(name, Entry(says, partial(_pieces, self._folder / goal)))
        else:
            raise ArchiveError("a device, a pipe, or another special file")

    def _filter(self, says: tarfile.TarInfo) -> None:
        """What tarfile itself would refuse is refused, too."""
        if _FILTER is not None:
            try:
                _FILTER(says, str(self._folder))
            except tarfile.TarError as error:
                raise ArchiveError(str(error)) from error

    def _goal(self, name: str, says: tarfile.TarInfo) -> str:
        """The file that a link leads to: a hard one is named from the top, a symbolic one from where it stands."""
        start = posixpath.dirname(name) if says.issym() else ""
        goal = posixpath.normpath(posixpath.join(start, says.linkname))
        if posixpath.isabs(goal) or goal.split("/")[0] == "..":
            raise ArchiveError(f"a link out of the folder, to {says.linkname[:200]!a}")
        if goal not in self.files:
            raise ArchiveError(f"a link to {says.linkname[:200]!a}, which is no file before it")
        return goal

    def _write(self, name: str, entry: Entry) -> None:
        self._make(posixpath.dirname(name))
        written = 0
        with (self._folder / name).open("xb") as sink:
            for piece in entry.read():
                written += len(piece)
                self.written += len(piece)
                self._check(written, entry.packed)
                sink.write(piece)
        self.files.add(name)

    def _make(self, name: str) -> None:
        if name not in self._made:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
            self._made.add(name)

    def _check(self, written: int, packed: int | None) -> None:
        limits = self._config
        if written > limits.max_entry_gb * _GB:
            raise ArchiveError(f"longer than unpack.max_entry_gb ({limits.max_entry_gb:g})")
        if self.written > limits.max_gb * _GB:
            raise ArchiveError(f"more in all than unpack.max_gb ({limits.max_gb:g})")
        for unpacked, size in ((written, packed), (self.written, self.size)):
            if size is not None and unpacked > max(_ALWAYS, limits.max_ratio * size):
                raise ArchiveError(
                    f"a bomb: {size} bytes become more than unpack.max_ratio ({limits.max_ratio:g}) times"
                )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(CHUNK):
            yield piece
