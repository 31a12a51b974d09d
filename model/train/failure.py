"""Why a team of processes ended, kept for whoever started it: torchrun exits with 1 whatever its processes say.

The launcher names a file in `RMTL_FAILURE_FILE`; the first cause is written there, and "another process has left" gives
way to the reason why it left.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import FaceError
from model.storage import atomic_path

FAILURE_FILE = "RMTL_FAILURE_FILE"

logger = logging.getLogger(__name__)


class TrainingError(FaceError):
    """Training cannot go on: losses stay non-finite, memory is short, or another process has died."""


class LostPeerError(TrainingError):
    """Another process is gone: the fault is not here, and the same command goes on from the last checkpoint."""


@dataclass(frozen=True)
class Failure:
    """Class name, exit code and message of an error; `lost` where it only says that another process is gone."""

    kind: str
    exit_code: int
    message: str
    lost: bool


def record(error: Exception) -> None:
    """Keep the error unless a better cause is there; a disk that cannot take it costs the record alone."""
    lost = isinstance(error, LostPeerError)
    if FAILURE_FILE not in os.environ:
        return
    path = Path(os.environ[FAILURE_FILE])
    known = read(path)
    if known is not None and (lost or not known.lost):
        return
    code = error.exit_code if isinstance(error, FaceError) else 1
    failure = Failure(type(error).__name__, code, str(error) or type(error).__name__, lost)
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(failure)))
    except (OSError, FaceError) as problem:
        logger.warning("%s: the cause of the failure cannot be kept: %s", path, problem)


def read(path: Path) -> Failure | None:
    """The kept cause, or None where there is none."""
    try:
        return Failure(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
