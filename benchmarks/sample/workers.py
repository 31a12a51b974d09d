"""Spreads the drawing over processes without letting their number show in the result."""

import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from benchmarks.sample.draw import Studio, draw_face, open_studio
from benchmarks.sample.headmesh import load_head
from benchmarks.sample.schema import Face, FaceJob

logger = logging.getLogger(__name__)
_studio: list[Studio] = []  # one, set when a worker starts


def draw_faces(jobs: list[FaceJob], seed: int, workers: int) -> Iterator[Face]:
    """Draw `jobs` in order; the result does not depend on `workers`."""
    if workers <= 1:
        studio = open_studio()
        yield from (draw_face(job, seed, studio) for job in jobs)
        return
    load_head()
    os.environ.setdefault("LP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        done = pool.map(_work, jobs, [seed] * len(jobs), chunksize=16)
        for number, face in enumerate(done, start=1):
            if number % 200 == 0:
                logger.info("%d of %d faces", number, len(jobs))
            yield face


def _start_worker() -> None:
    _studio.append(open_studio())


def _work(job: FaceJob, seed: int) -> Face:
    return draw_face(job, seed, _studio[0])
