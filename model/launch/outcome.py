"""What processes of their own leave behind, turned into a result or into one of our errors."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

from model.errors import CheckpointError, ConfigError, DataContractError, FaceError, ServiceError, StorageError
from model.schema import TrainResult
from model.storage import read_json
from model.train.checkpoint import FOLDER, STATE_FILE
from model.train.failure import Failure, LostPeerError, TrainingError
from model.train.interrupt import TerminatedError
from model.weights import WEIGHTS_FILE, load_meta

_BY_CODE: dict[int, type[FaceError]] = {2: ConfigError, 3: DataContractError, 5: ServiceError, 143: TerminatedError}
_BY_NAME: dict[str, type[FaceError]] = {
    kind.__name__: kind for kind in (CheckpointError, StorageError, LostPeerError, TrainingError)
}
_ERROR_LINE = re.compile(r"^(ERROR|CRITICAL)\b|\b\w+(Error|Exception): ")
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")

logger = logging.getLogger("model.launch")


class Lines:
    """Passes what a process prints to the log, line by line, and remembers the last error among it."""

    def __init__(self) -> None:
        self._rest = ""
        self._last = self._last_error = ""

    def feed(self, text: str) -> None:
        """Take a piece of the output, however it was cut."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            level = _LEVEL.match(line)
            logger.log(logging.getLevelNamesMapping()[level[1]] if level else logging.INFO, "%s", line)
            self._last = line.strip() or self._last
            if _ERROR_LINE.search(line):
                self._last_error = line.strip()

    @property
    def error(self) -> str:
        """The last line that speaks of an error, else the last line."""
        return self._last_error or self._last


def error_of(failure: Failure | None, exit_code: int, line: str, *, asked: bool) -> FaceError:
    """The error of ours that a failed team stands for.

    Without a kept cause and without an exit code of ours nobody had the time to say why: a process was killed.

    Args:
        asked: this side was asked to end; a team that ends on somebody else's request (a node is drained) is lost.
    """
    if failure is None:
        text = f"training ended without a word, exit code {exit_code}: {line or 'nothing was printed'}"
        kind = _BY_CODE.get(exit_code, LostPeerError)
    else:
        text = failure.message
        kind = _BY_CODE.get(failure.exit_code) or _BY_NAME.get(failure.kind, TrainingError)
    return LostPeerError(text) if kind is TerminatedError and not asked else kind(text)


def result_of(out: Path) -> TrainResult:
    """Where the kept weights are, as `train` returns it.

    Raises:
        CheckpointError: no epoch has been kept, or its weights are gone.
    """
    progress, meta = read_json(out / FOLDER / STATE_FILE)["progress"], load_meta(out)
    return TrainResult(
        weights=str(out / WEIGHTS_FILE),
        weights_digest=meta.weights_digest,
        data_digest=meta.data_digest,
        epoch=progress["best_epoch"],
        metrics=progress["best_metrics"],
    )


def with_restarts(attempt: Callable[[], None], restarts: int) -> None:
    """Call `attempt` again after a lost process: it goes on from the last checkpoint. No other failure is repeated."""
    for left in range(restarts, -1, -1):
        try:
            return attempt()
        except LostPeerError as error:
            if not left:
                raise
            logger.warning("%s; starting again from the last checkpoint (%d more restarts)", error, left - 1)
    return None
