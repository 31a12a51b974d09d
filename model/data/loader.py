"""Batches of faces from the shards, the same ones for any number of processes, workers and threads."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from model.config import TrainConfig
from model.data.batches import Batches, Drawn
from model.data.faces import Faces, read_faces
from model.errors import ConfigError, FaceError, is_loader_death
from model.schema import FaceBatch

_THREADS = 2
_AHEAD = 4
"""Batches in preparation while the network works on one."""
_STALLED_S = 300


class FaceLoader:
    """Iterable of `FaceBatch`, one process's part of each global batch.

    Iterating draws what `set_epoch` chose (epoch 0 at first). `image_BCHW` lies in memory as BHWC. Points may leave
    0..1 where a face is moved out of its crop. `replaced` counts the training faces so far that another one stood in
    for, because their record could not be read. Break off at any time; every failure in a worker or thread is raised
    here.

    Attributes:
        sources: names that `source_B` numbers.
        data_digest: digest of all valid data, of every split.
        restricted: whether a source forbids commercial use.
        faces: number of faces in the split, of all processes together.
    """

    def __init__(self, batches: Batches, faces: Faces, workers: int) -> None:
        self.sources = faces.sources
        self.data_digest = faces.data_digest
        self.restricted = faces.restricted
        self.faces = len(faces)
        self.replaced = 0
        self._batches = batches
        self._jobs = _Jobs(len(batches))
        self._workers = _start_workers(batches, workers, self._jobs) if workers else None

    def __len__(self) -> int:
        return len(self._batches)

    def set_epoch(self, epoch: int, *, first: int = 0) -> None:
        """Choose the epoch that the next iteration draws, and the step from which on; none before it is prepared."""
        self._jobs.epoch, self._jobs.first = epoch, first

    def __iter__(self) -> Iterator[FaceBatch]:
        drawn = self._from_threads() if self._workers is None else self._from_workers()
        for each in drawn:
            self.replaced += each.replaced
            yield each.batch

    def _from_threads(self) -> Iterator[Drawn]:
        """Prepare a few batches ahead, in order; decoding and warping run outside the interpreter's lock."""
        cv2.setNumThreads(1)
        pending: deque[Future[Drawn]] = deque()
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="faces")
        try:
            for job in self._jobs:
                pending.append(pool.submit(self._batches.__getitem__, job))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _from_workers(self) -> Iterator[Drawn]:
        assert self._workers is not None
        try:
            yield from self._workers
        except (RuntimeError, EOFError, OSError) as error:
            # torch tells a killed or stalled worker as a plain RuntimeError, or its pipe breaks first.
            raise _failed(error) from error


class _Jobs(Sampler[tuple[int, int]]):
    """The (epoch, step) pairs still to do; apart from the loader, since a cycle would outlive its workers."""

    def __init__(self, steps: int) -> None:
        self.epoch = self.first = 0
        self._steps = steps

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, step) for step in range(self.first, self._steps)])

    def __len__(self) -> int:
        return self._steps - self.first


def make_loader(  # noqa: PLR0913 - the call of every trainer and test, spelled out
    shards: Path, split: str, config: TrainConfig, *, training: bool, rank: int, world: int, seed: int
) -> FaceLoader:
    """Open a split of the shards for one of `world` processes.

    In training the faces are drawn by `config.balance` and augmented; together the ranks see the very batches that one
    process would, pixel for pixel. Otherwise each face comes exactly once, in order, as `crop_face` cuts it, and the
    last batch may be smaller or, on some ranks, missing.

    Raises:
        DataContractError: no shards, damaged ones, or no face in the split.
        ConfigError: `train.batch_size` cannot be divided over the processes, or the crop is wider than what the shards
            keep around a face.
    """
    faces = read_faces(shards, split)
    if faces.window < config.net.crop_scale:
        raise ConfigError(
            f"shard.window: the shards keep {faces.window} box sides, train.net.crop_scale asks for "
            f"{config.net.crop_scale}; raise it and run `rmtl shard` again"
        )
    batches = Batches(faces, config, training=training, rank=rank, world=world, seed=seed)
    return FaceLoader(batches, faces, config.loader_workers)


@contextmanager
def watched_workers() -> Iterator[None]:
    """Tell of a loader process that dies while this one is not waiting for a batch: torch raises wherever it is."""
    try:
        yield
    except RuntimeError as error:
        if not is_loader_death(error):
            raise
        raise _failed(error) from error


def _failed(error: Exception) -> FaceError:
    return FaceError(f"a loader process failed: {error}; lower train.loader_workers if memory is short, then resume")


def _start_workers(batches: Batches, workers: int, jobs: _Jobs) -> "DataLoader[Drawn]":
    return DataLoader(
        batches,
        batch_size=None,
        sampler=jobs,
        num_workers=workers,
        collate_fn=_as_is,
        worker_init_fn=_start_worker,
        timeout=_STALLED_S,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
        # Its own generator: the number of workers must not shift the global random stream.
        generator=torch.Generator(),
    )


def _as_is(drawn: Any) -> Any:
    return drawn


def _start_worker(number: int) -> None:
    del number
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
