"""Tars of made pictures."""

import io
import tarfile


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Append a file with these bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
