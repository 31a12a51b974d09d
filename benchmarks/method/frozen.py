"""Draws of the generator, and the file that holds them still, written once: digests of labels and generator, and the
brightness of every drawn picture.
"""

import hashlib
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.method.brightness import is_drawn_alike, pack_brightness
from benchmarks.method.plan import ROOT, Study
from model.errors import ConfigError, DataContractError
from model.storage import digest_bytes, digest_file, read_json, write_json

logger = logging.getLogger(__name__)

FROZEN_FILE = "frozen.json"
LABELS = "labels.jsonl"
PACKS = ("test.tar", "train.tar", "val.tar")
FILES = (LABELS, *PACKS)
_PACKAGES = ("anny", "moderngl", "numpy", "opencv-python-headless")
_GENERATOR = ROOT / "benchmarks" / "sample"


def sample_folder(data: Path, name: str) -> Path:
    """Where a data set lies below the folder of all of them."""
    return data / name / "sample"


def draw(study: Study, *, data: Path, results: Path, workers: int) -> None:
    """Draw each data set that is not there, and compare all of them with what is frozen.

    Raises:
        DataContractError: another generator, other labels or other pictures than those frozen.
        ConfigError: a package of the generator is not installed.
    """
    for name in sorted(study.sets):
        if study.data[name].iid is not None and not (sample_folder(data, name) / LABELS).exists():
            _check_generator(results)
            _draw_set(study, name, data=data, workers=workers)
        if (results / FROZEN_FILE).exists():
            check_frozen(name, data=data, results=results)
            check_pictures(name, data=data, results=results)
            logger.info("%s: as frozen", data / name)
        else:
            logger.info("%s: not frozen yet", data / name)


def freeze(study: Study, *, data: Path, results: Path) -> Path:
    """Write what identifies every data set, and what drew it; never a second time.

    Raises:
        DataContractError: frozen already, or a data set is not drawn.
        ConfigError: a package of the generator is not installed, so its version is not known.
    """
    path = results / FROZEN_FILE
    if path.exists():
        raise DataContractError(f"{path}: frozen already; a study compares runs on one test set, so it is never redone")
    sets = {name: {**study.data[name].model_dump(), **_identify(study, name, data)} for name in sorted(study.sets)}
    drawn = {"sizes": study.sizes.model_dump(), **_generator_state()} if study.sizes else {}
    write_json(path, {"sets": sets, **drawn})
    return path


def check_frozen(name: str, *, data: Path, results: Path) -> dict[str, str]:
    """Digests of a data set by file; those of labels, and all of a given set, are the frozen ones.

    Raises:
        DataContractError: nothing is frozen, or a file is missing or another one.
    """
    path = results / FROZEN_FILE
    if not path.exists():
        raise DataContractError(
            f"{path}: no such file; `python -m benchmarks.method freeze` comes before the first run"
        )
    entry = read_json(path)["sets"].get(name)
    if entry is None:
        raise DataContractError(f"{path}: data set {name} is not frozen there")
    found, frozen = _digests(data, name, drawn=entry["iid"] is not None), entry["files"]
    exact = {LABELS} if entry["iid"] is not None else found.keys() | frozen.keys()
    _refuse(sorted(file for file in exact if found.get(file) != frozen.get(file)), data / name, path)
    return found


def check_pictures(name: str, *, data: Path, results: Path) -> None:
    """Compare the drawn pictures of a frozen data set; those of a given set are compared by `check_frozen`.

    Raises:
        DataContractError: other pictures than those frozen.
    """
    path = results / FROZEN_FILE
    frozen: dict[str, str] = read_json(path)["sets"][name].get("brightness", {})
    folder = sample_folder(data, name)
    _refuse([pack for pack, packed in frozen.items() if not is_drawn_alike(folder / pack, packed)], data / name, path)


def _refuse(changed: list[str], folder: Path, path: Path) -> None:
    if changed:
        raise DataContractError(
            f"{folder}: {', '.join(changed)} differ from {path}; draw it again with its versions, or restore it"
        )


def _identify(study: Study, name: str, data: Path) -> dict[str, Any]:
    drawn = study.data[name].iid is not None
    digests = _digests(data, name, drawn=drawn)
    if not drawn:
        return {"files": digests}
    folder = sample_folder(data, name)
    return {"files": {LABELS: digests[LABELS]}, "brightness": {pack: pack_brightness(folder / pack) for pack in PACKS}}


def _draw_set(study: Study, name: str, *, data: Path, workers: int) -> None:
    from benchmarks.sample.pack import write_benchmark
    from benchmarks.sample.plan import Sizes, plan_faces
    from benchmarks.sample.workers import draw_faces

    assert study.sizes is not None
    values = study.sizes.model_dump()
    seed = values.pop("seed")
    jobs = plan_faces(Sizes(**values, iid=bool(study.data[name].iid)), seed)
    logger.info("%s: drawing %d faces", sample_folder(data, name), len(jobs))
    write_benchmark(draw_faces(jobs, seed, workers), data / name)


def _check_generator(results: Path) -> None:
    """A changed source cannot draw the frozen bytes; other package versions may, so they are only told."""
    state = _generator_state()
    path = results / FROZEN_FILE
    if not path.exists():
        return
    frozen = read_json(path)
    if state["generator"] != frozen["generator"]:
        raise DataContractError(
            f"{_GENERATOR}: sources differ from those in {path}; check out the revision that froze it"
        )
    for package, wanted in frozen["versions"].items():
        if state["versions"][package] != wanted:
            logger.warning("%s %s draws now, %s is frozen", package, state["versions"][package], wanted)


def _digests(data: Path, name: str, *, drawn: bool) -> dict[str, str]:
    return _file_digests(sample_folder(data, name)) if drawn else _folder_digests(data / name)


def _folder_digests(folder: Path) -> dict[str, str]:
    """A digest over all files of each folder below a given set: names and bytes."""
    found = {}
    for part in sorted(path for path in folder.glob("*") if path.is_dir()):
        files = sorted(path for path in part.rglob("*") if path.is_file())
        lines = [f"{path.relative_to(part).as_posix()}\0{digest_file(path)}\n" for path in files]
        found[part.name] = digest_bytes("".join(lines).encode())
    if not found:
        raise DataContractError(f"{folder}: no data set there; unpack it as `index.sources` of the plan says")
    return found


def _file_digests(folder: Path) -> dict[str, str]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DataContractError(f"{folder}: no {', '.join(missing)}; run `python -m benchmarks.method draw` first")
    return {name: digest_file(folder / name) for name in FILES}


def _generator_state() -> dict[str, Any]:
    sources = sorted(path for path in _GENERATOR.rglob("*") if path.suffix in (".py", ".vert", ".frag"))
    lines = [f"{path.relative_to(_GENERATOR).as_posix()}\0{digest_file(path)}\n" for path in sources]
    try:
        versions = {package: version(package) for package in _PACKAGES}
    except PackageNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install residual-mtl[synth]") from error
    return {"generator": hashlib.sha256("".join(lines).encode()).hexdigest(), "versions": versions}
