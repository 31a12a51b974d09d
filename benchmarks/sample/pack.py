"""Writes the drawn faces: one plain tar a split and one table of labels."""

import io
import json
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.sample.schema import Face

FOLDER = "sample"
TABLE = "labels.jsonl"


def write_benchmark(faces: Iterable[Face], out: Path) -> Path:
    """Write `out`/sample; the same faces in the same order give the same bytes.

    Files appear under their final names only when all are complete.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    packs: dict[str, tarfile.TarFile] = {}
    with ExitStack() as stack:
        table = stack.enter_context((folder / f"{TABLE}.part").open("w", encoding="utf-8", newline="\n"))
        for face in faces:
            split = str(face.record["split"])
            if split not in packs:
                part = folder / f"{split}.tar.part"
                packs[split] = stack.enter_context(tarfile.open(part, "w", format=tarfile.USTAR_FORMAT))
            _add(packs[split], face)
            table.write(json.dumps(face.record, separators=(",", ":")) + "\n")
    for name in [f"{split}.tar" for split in packs] + [TABLE]:
        (folder / f"{name}.part").replace(folder / name)
    return folder


def _add(pack: tarfile.TarFile, face: Face) -> None:
    info = tarfile.TarInfo(face.member)
    info.size = len(face.webp)
    info.mtime = 0
    info.mode = 0o644
    pack.addfile(info, io.BytesIO(face.webp))
