"""Draws the sample benchmark.

Run: python -m benchmarks.sample --out data --seed 0
"""

import argparse
import logging
from pathlib import Path

from benchmarks.sample.pack import write_benchmark
from benchmarks.sample.plan import Sizes, plan_faces
from benchmarks.sample.workers import draw_faces

logger = logging.getLogger(__name__)


def main() -> None:
    """Parse the command line and write the benchmark."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parse()
    sizes = Sizes(options.train_landmarks, options.train_expressions, options.val, options.test, options.iid)
    folder = write_benchmark(draw_faces(plan_faces(sizes, options.seed), options.seed, options.workers), options.out)
    for path in sorted(folder.iterdir()):
        logger.info("%9d bytes  %s", path.stat().st_size, path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sample", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets sample/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-landmarks", type=int, default=700)
    parser.add_argument("--train-expressions", type=int, default=1400)
    parser.add_argument("--val", type=int, default=200)
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--iid", action="store_true", help="no gap between the training sources, no flipped labels")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
