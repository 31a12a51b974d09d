"""The `.mar` that TorchServe loads: weights, meta and a thin handler; packed byte for byte equal, opened with care."""

import io
import json
import os
import stat
import struct
import zipfile
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

import model
from model.config import PackageConfig
from model.errors import CheckpointError
from model.net.inference import FaceNet
from model.storage import atomic_path
from model.weights import META_FILE, WEIGHTS_FILE, load_weights

PACKAGE_FILE = "package.json"
HANDLER_FILE = "face_handler.py"
CONFIG_FILE = "model-config.yaml"
MANIFEST_FILE = "MAR-INF/MANIFEST.json"
MEMBERS = (WEIGHTS_FILE, META_FILE, PACKAGE_FILE, HANDLER_FILE, CONFIG_FILE, MANIFEST_FILE)

MAX_BYTES = 2 * 1024**3
MAX_RATIO = 200
"""Largest uncompressed over compressed size; JSON reaches about 20."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_END_RECORD = b"PK\x05\x06"
_CHUNK = 1 << 20


class Package(BaseModel):
    """What an archive says about itself; `package_version` names the installed code it needs."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: Literal[1] = 1
    package_version: str
    model_version: str
    weights_digest: str


def package(config: PackageConfig, *, weights: Path, out: Path, version: str | None = None) -> Path:
    """Pack the weights of a folder into `out/<name>.mar`, open it and answer about one made picture.

    The same weights, configuration and version give the same bytes.

    Args:
        config: name of the archive, and how its workers run.
        weights: folder with `weights.safetensors` and `meta.json`.
        out: folder for the archive.
        version: registered version, for lineage; else answers name the head of the weights' digest.

    Raises:
        CheckpointError: the weights are unusable, or do not answer.
        StorageError: the archive cannot be written.
    """
    target = out / f"{config.name}.mar"
    meta = FaceNet.load(weights).meta
    about = Package(
        package_version=model.__version__,
        model_version=version or meta.weights_digest[:12],
        weights_digest=meta.weights_digest,
    )
    members = {
        WEIGHTS_FILE: (weights / WEIGHTS_FILE).read_bytes(),
        META_FILE: (weights / META_FILE).read_bytes(),
        PACKAGE_FILE: (about.model_dump_json(indent=2) + "\n").encode(),
        HANDLER_FILE: _handler(),
        CONFIG_FILE: yaml.safe_dump(_worker_settings(config), sort_keys=False).encode(),
        MANIFEST_FILE: _manifest(config.name, about.model_version).encode(),
    }
    with atomic_path(target) as temporary:
        _write_zip(temporary, members)
        _try_out(temporary)
    return target


def unpack(mar: Path, into: Path) -> Path:
    """Open an archive made by `package` into the folder `into`; nothing in it is executed.

    Every entry is checked before the first byte is written: known names only, no links, no bombs.

    Raises:
        CheckpointError: no such archive, or one that holds anything else, or that another version made.
    """
    try:
        with mar.open("rb") as stream:
            _check_end(stream, mar)
            with zipfile.ZipFile(stream) as archive:
                _check_entries(archive.infolist(), mar)
                with atomic_path(into) as folder:
                    for entry in archive.infolist():
                        _extract(archive, entry, folder / entry.filename, mar)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{mar}: cannot be opened as an archive: {error}; make it with `rmtl package`") from error
    try:
        read_package(into)
        _check_handler(into)
        load_weights(into)
    except CheckpointError as error:
        raise CheckpointError(f"{mar}: {error}") from error
    return into


def read_package(folder: Path) -> Package:
    """What an unpacked archive says about itself.

    Raises:
        CheckpointError: nothing readable, or made by another minor version of this package.
    """
    path = folder / PACKAGE_FILE
    try:
        about = Package.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}; make the archive with `rmtl package`") from error
    if _minor(about.package_version) != _minor(model.__version__):
        raise CheckpointError(
            f"{path}: made by version {about.package_version}, installed is {model.__version__}; "
            "package the weights again, or install the version that made it"
        )
    return about


def _check_handler(folder: Path) -> None:
    """TorchServe imports the handler that the manifest names: it has to be this package's own, byte for byte."""
    try:
        named = json.loads((folder / MANIFEST_FILE).read_bytes())["model"]["handler"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{MANIFEST_FILE}: no manifest; make the archive with `rmtl package`") from error
    if named != HANDLER_FILE or (folder / HANDLER_FILE).read_bytes() != _handler():
        raise CheckpointError(
            f"{named}: not the handler of this package; refused: make the archive with `rmtl package`"
        )


def _handler() -> bytes:
    return (files("model.serving") / HANDLER_FILE).read_bytes()


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _worker_settings(config: PackageConfig) -> dict[str, Any]:
    return {
        "minWorkers": config.workers,
        "maxWorkers": config.workers,
        "batchSize": config.batch_size,
        "maxBatchDelay": config.max_batch_delay_ms,
        "responseTimeout": config.response_timeout_s,
        "handler": {
            "threads": config.threads,
            "max_pixels": config.max_pixels,
            "max_pictures": config.max_pictures,
            "max_faces": config.max_faces,
        },
    }


def _manifest(name: str, version: str) -> str:
    """TorchServe's own manifest, less its time of creation, which would change the bytes each time."""
    from model_archiver.model_archiver_config import ModelArchiverConfig
    from model_archiver.model_packaging_utils import ModelExportUtils

    settings = ModelArchiverConfig(
        model_name=name,
        handler=HANDLER_FILE,
        version=version,
        serialized_file=WEIGHTS_FILE,
        extra_files=f"{META_FILE},{PACKAGE_FILE}",
        config_file=CONFIG_FILE,
    )
    manifest = json.loads(ModelExportUtils.generate_manifest_json(settings))
    del manifest["createdOn"]
    return json.dumps(manifest, indent=2) + "\n"


def _write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3
            # Weights do not compress, and zlib's bytes differ between builds.
            archive.writestr(entry, content, compress_type=zipfile.ZIP_STORED)


def _try_out(mar: Path) -> None:
    from model.serving.golden import golden_pictures
    from model.serving.predictor import Predictor

    with TemporaryDirectory() as scratch:
        predictor = Predictor(unpack(mar, Path(scratch) / "weights"))
        content, boxes = golden_pictures(1)[0]
        answer = predictor.predict(content, boxes)
        if answer["error"] or len(answer["faces"]) != 1:
            raise CheckpointError(f"{mar.name}: the packed weights do not answer about a made picture: {answer}")
        json.dumps(answer, allow_nan=False)


def _check_end(stream: io.BufferedReader, mar: Path) -> None:
    """Read the number of entries from the end record: the directory of 10^6 entries is not even parsed."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 65557))
    tail = stream.read()
    found = tail.rfind(_END_RECORD)
    if found < 0 or len(tail) < found + 22:
        raise CheckpointError(f"{mar}: not an archive; make it with `rmtl package`")
    entries, directory = struct.unpack("<HI", tail[found + 10 : found + 16])
    if entries > len(MEMBERS) or directory > 1 << 16:
        raise CheckpointError(f"{mar}: {entries} entries, an archive has {len(MEMBERS)}; refused before opening")


def _check_entries(entries: list[zipfile.ZipInfo], mar: Path) -> None:
    names = [entry.filename for entry in entries]
    strange = [name for name in names if name not in MEMBERS]
    if strange or sorted(names) != sorted(MEMBERS):
        missing = [name for name in MEMBERS if name not in names]
        raise CheckpointError(
            f"{mar}: unknown members {strange[:3]}, missing {missing}, or one twice; refused: "
            "an archive holds " + ", ".join(MEMBERS)
        )
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        ratio = entry.file_size / max(1, entry.compress_size)
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 0x1 or entry.is_dir():
            raise CheckpointError(f"{mar}: {entry.filename} is a link, a device, a folder or encrypted; refused")
        if entry.file_size > MAX_BYTES or ratio > MAX_RATIO:
            raise CheckpointError(f"{mar}: {entry.filename} would unpack to {entry.file_size} bytes; refused as a bomb")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, mar: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, target.open("xb") as sink:
        while piece := source.read(_CHUNK):
            written += len(piece)
            if written > entry.file_size:
                raise CheckpointError(f"{mar}: {entry.filename} is longer than it says; refused as a bomb")
            sink.write(piece)
