"""One worker of a study, without the rest of the system.

Run: python -m model.search job.json
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from model.config import SearchConfig, TrainRun, parse_section
from model.errors import FaceError
from model.search.study import search
from model.storage import read_json
from model.train.failure import record
from model.train.orphan import end_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Work on the study until it has enough trials; the exit code tells the kind of failure."""
    parser = argparse.ArgumentParser(prog="python -m model.search", description=__doc__.splitlines()[0])
    parser.add_argument("job", type=Path, help="JSON written by the crew")
    path = parser.parse_args(arguments).job
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        job = read_json(path)
        search(
            parse_section(TrainRun, job["run"], name="run"),
            parse_section(SearchConfig, job["search"], name="search"),
            shards=Path(job["shards"]),
            folder=Path(job["folder"]),
            processes=job["processes"],
        )
    except FaceError as error:
        logging.getLogger(__name__).error("%s", error)
        record(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
