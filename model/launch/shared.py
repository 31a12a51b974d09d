"""A job's folder on the storage that the step and all nodes see: configuration, shards, and what training writes."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from model.config import TrainRun
from model.data.faces import read_index
from model.storage import atomic_path
from model.train.checkpoint import FOLDER, STATE_FILE
from model.weights import WEIGHTS_FILE

# The nodes run as another user.
_OPEN = 0o777
_CLOSED = 0o755


@dataclass(frozen=True)
class JobFolder:
    """Places under `path`, which is the folder as the step or as a node sees it."""

    path: Path

    @property
    def run(self) -> Path:
        """Seed and section `train`."""
        return self.path / "run.yaml"

    @property
    def shards(self) -> Path:
        """The training data."""
        return self.path / "shards"

    @property
    def start(self) -> Path:
        """Weights that training starts from, if from any."""
        return self.path / "start"

    @property
    def out(self) -> Path:
        """Weights, checkpoint and spool."""
        return self.path / "train"

    @property
    def failure(self) -> Path:
        """Why the training ended."""
        return self.path / "failure.json"


def fill(folder: JobFolder, run: TrainRun, *, shards: Path, out: Path, there: JobFolder) -> None:
    """Put everything there that is not there yet, and the checkpoint under `out` if training has one only there.

    Args:
        there: the same folder as the nodes see it.
    """
    folder.path.mkdir(exist_ok=True)
    folder.path.chmod(_OPEN)
    if run.train.start_from:
        with atomic_path(folder.start) as temporary:
            temporary.mkdir()
            shutil.copyfile(Path(run.train.start_from) / WEIGHTS_FILE, temporary / WEIGHTS_FILE)
            temporary.chmod(_CLOSED)
        run = run.model_copy(update={"train": run.train.model_copy(update={"start_from": str(there.start)})})
    with atomic_path(folder.run) as temporary:
        temporary.write_text(yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False))
    if not folder.shards.is_dir() or read_index(folder.shards) != read_index(shards):
        _copy(shards, folder.shards)
    if not folder.out.is_dir() and (out / FOLDER / STATE_FILE).is_file():
        _copy(out, folder.out)
    folder.out.mkdir(exist_ok=True)
    for place in [folder.out, *(item for item in folder.out.rglob("*") if item.is_dir())]:
        # A node's own folders are open to it, and nobody else may change their mode.
        if place.stat().st_uid == os.getuid():
            place.chmod(_OPEN)


def fetch(folder: JobFolder, out: Path) -> None:
    """Replace `out` by what the job has written, in one act."""
    _copy(folder.out, out)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Put the folder back if it is gone after a failure: the container backend clears up more than it made."""
    with tempfile.TemporaryDirectory(prefix="rmtl-kept-") as safe:
        copy = Path(safe) / folder.name
        shutil.copytree(folder, copy)
        try:
            yield
        except BaseException:
            if not folder.exists():
                shutil.copytree(copy, folder)
            raise


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copytree(source, temporary, copy_function=shutil.copyfile)
        temporary.chmod(_CLOSED)
