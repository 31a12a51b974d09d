"""Draws of the generator, and the file that holds them still: digests of data and generator, written once."""

import hashlib
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.method.plan import ROOT, Study
from model.errors import ConfigError, DataContractError
from model.storage import digest_bytes, digest_file, read_json, write_json

logger = logging.getLogger(__name__)

FROZEN_FILE = "frozen.json"
FILES = ("labels.jsonl", "test.tar", "train.tar", "val.tar")
_PACKAGES = ("anny", "moderngl", "numpy", "opencv-python-headless")
_GENERATOR = ROOT / "benchmarks" / "sample"


def sample_folder(data: Path, name: str) -> Path:
    """Where a data set lies below the folder of all of them."""
    return data / name / "sample"


def draw(study: Study, *, data: Path, results: Path, workers: int) -> None:
    """Draw each data set that is not there, and compare all of them with what is frozen.

    Raises:
        DataContractError: another generator, or other bytes, than those frozen.
        ConfigError: a package of the generator is not installed.
    """
    for name in sorted(study.sets):
        if study.data[name].iid is not None and not (sample_folder(data, name) / FILES[0]).exists():
            _check_generator(results)
            _draw_set(study, name, data=data, workers=workers)
        if (results / FROZEN_FILE).exists():
            check_frozen(name, data=data, results=results)
            logger.info("%s: as frozen", data / name)
        else:
            logger.info("%s: not frozen yet", data / name)


def freeze(study: Study, *, data: Path, results: Path) -> Path:
    """Write digests of every data set, and of what drew them; never a second time.

    Raises:
        DataContractError: frozen already, or a data set is not drawn.
        ConfigError: a package of the generator is not installed, so its version is not known.
    """
    path = results / FROZEN_FILE
    if path.exists():
        raise DataContractError(f"{path}: frozen already; a study compares runs on one test set, so it is never redone")
    sets = {
        name: {**study.data[name].model_dump(), "files": _digests(data, name, drawn=study.data[name].iid is not None)}
        for name in sorted(study.sets)
    }
    drawn = {"sizes": study.sizes.model_dump(), **_generator_state()} if study.sizes else {}
    write_json(path, {"sets": sets, **drawn})
    return path


def check_frozen(name: str, *, data: Path, results: Path) -> dict[str, str]:
    """Digests of a data set by file, which are those frozen.

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
    changed = sorted(file for file in found.keys() | frozen.keys() if found.get(file) != frozen.get(file))
    if changed:
        raise DataContractError(
            f"{data / name}: {', '.join(changed)} differ from {path}; draw it again with its versions, or restore it"
        )
    return found


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
