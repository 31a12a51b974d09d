"""Train on a bare machine, without the rest of the system.

Run: python -m model.train --params params.yaml --shards artifacts/shards --out artifacts/train
Run: torchrun --nproc-per-node 2 -m model.train --params params.yaml --shards artifacts/shards --out artifacts/train
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from model.config import TrainRun, load_config, parse_section
from model.errors import FaceError
from model.train.failure import record
from model.train.loop import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say; the exit code of the failure, 143 after SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="configuration (params.yaml)")
    parser.add_argument("--config", type=Path, help="seed and section train alone, as a launcher writes them")
    parser.add_argument("--shards", type=Path, default=Path("artifacts/shards"), help="folder written by rmtl shard")
    parser.add_argument("--out", type=Path, default=Path("artifacts/train"), help="folder for weights and checkpoint")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="e.g. train.epochs=3")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logger = logging.getLogger(__name__)
    try:
        train(_read_run(options), shards=options.shards, out=options.out)
    except FaceError as error:
        logger.error("%s", error)
        record(error)
        return error.exit_code
    except Exception as error:  # the launcher learns of it through the record
        logger.exception("training ended by a failure nobody foresaw")
        record(error)
        return 1
    return 0


def _read_run(options: argparse.Namespace) -> TrainRun:
    if options.config is not None:
        return parse_section(TrainRun, yaml.safe_load(options.config.read_text()), name="run")
    return load_config(options.params, dict(_assignment(text) for text in options.set)).run


def _assignment(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


if __name__ == "__main__":
    sys.exit(main())
