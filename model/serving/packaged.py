"""A predictor in this process of what an archive holds, within the limits that its workers have."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from model.errors import CheckpointError
from model.serving.archive import CONFIG_FILE, read_package, unpack
from model.serving.predictor import Predictor


@contextmanager
def unpacked(archive: Path) -> Iterator[Predictor]:
    """A predictor that answers as a worker with this archive would.

    Raises:
        CheckpointError: the archive is unsafe or unusable, or does not tell its limits.
    """
    with tempfile.TemporaryDirectory() as scratch:
        weights = unpack(archive, Path(scratch) / "weights")
        max_pixels, max_faces = _limits(weights / CONFIG_FILE)
        version = read_package(weights).model_version
        yield Predictor(weights, version=version, max_pixels=max_pixels, max_faces=max_faces)


def _limits(path: Path) -> tuple[int, int]:
    try:
        settings = yaml.safe_load(path.read_bytes())["handler"]
        return int(settings["max_pixels"]), int(settings["max_faces"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: no limits of a worker: {error!r}; make the archive with `rmtl package`"
        ) from error
