"""Names of an archive's entries: which may be written, and which two are one."""

import re
import unicodedata

from model.archives import ArchiveError

_LONGEST_NAME = 1024
_LONGEST_PART = 255
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
_DRIVE = re.compile(r"[A-Za-z]:")


class Names:
    """The names that were claimed so far: how each is spelled, and whether it is a file's."""

    def __init__(self) -> None:
        self._claimed: dict[str, tuple[str, bool]] = {}

    def __len__(self) -> int:
        """Files, and folders whether an entry names them or not."""
        return len(self._claimed)

    def claim(self, name: str, *, folder: bool) -> str:
        """The name as a path below the target, without `.` and doubled slashes; a folder may be claimed again.

        Raises:
            ArchiveError: it is absolute, leads upwards, cannot be written on every machine, is that of another entry,
                or differs from it by case or Unicode form alone.
        """
        parts = _parts(name)
        if not parts and not folder:
            raise ArchiveError("a file without a name")
        for number in range(1, len(parts) + 1):
            self._claim("/".join(parts[:number]), file=number == len(parts) and not folder)
        return "/".join(parts)

    def _claim(self, path: str, *, file: bool) -> None:
        key = _folded(path)
        if key not in self._claimed:
            self._claimed[key] = path, file
            return
        spelled, is_file = self._claimed[key]
        if spelled != path:
            raise ArchiveError(f"{path!a} is {spelled!a} but for case or Unicode form")
        if file or is_file:
            raise ArchiveError(f"a second entry of the name {path!a}")


def _parts(name: str) -> list[str]:
    if not (name.isascii() and name.isprintable()):
        if any(unicodedata.category(letter) in _INVISIBLE for letter in name):
            raise ArchiveError("a name with letters that cannot be seen, or that are no UTF-8")
        _check_path(unicodedata.normalize("NFKC", name))
    _check_path(name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(name.encode()) > _LONGEST_NAME or any(len(part.encode()) > _LONGEST_PART for part in parts):
        raise ArchiveError(f"a name longer than {_LONGEST_NAME} bytes, or than {_LONGEST_PART} in one part")
    return parts


def _check_path(name: str) -> None:
    if name.startswith("/") or "\\" in name or _DRIVE.match(name):
        raise ArchiveError("an absolute name, or one with a backslash or a drive")
    if ".." in name.split("/"):
        raise ArchiveError("a name that leads out of the folder")


def _folded(path: str) -> str:
    """One key for all spellings that a file system, or an eye, may take for the same."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
