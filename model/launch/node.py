"""What a node runs: torchrun, told of its peers by the environment that Kubeflow Trainer sets, or without peers.

Run: python -m model.launch.node --processes 0 -- --config run.yaml --shards shards --out train
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from model.train.failure import FAILURE_FILE, read
from model.train.orphan import end_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until the end; the exit code says the kind of failure, as it does for one process."""
    parser = argparse.ArgumentParser(prog="python -m model.launch.node", description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=0, help="processes on this node; 0: one a GPU, else one")
    parser.add_argument("--alone", action="store_true", help="the only node; ends with the process that started it")
    parser.add_argument("training", nargs="+", help="arguments of python -m model.train, after --")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    processes = options.processes or torch.cuda.device_count() or 1
    alone = ["--standalone"] if options.alone else []
    if alone:
        end_with_parent()
    try:
        torchrun(
            [
                *(["--standalone"] if options.alone else []),
                f"--nproc-per-node={processes}",
                "-m",
                "model.train",
                *options.training,
            ]
        )
    except ChildFailedError as error:
        failure = read(Path(os.environ.get(FAILURE_FILE, "")))
        rank, first = error.get_first_failure()
        reason = failure.message if failure else f"process {rank} ended with exit code {first.exitcode}"
        logging.getLogger(__name__).error("%s", reason)
        return failure.exit_code if failure else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
