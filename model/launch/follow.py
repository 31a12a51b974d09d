"""Following a training in other processes by its spool: curves for a run log, and a progress bar."""

import json
import logging
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from model.train.log import NullLog, RunLog
from model.train.spool import SPOOL_FILE

PERIOD_S = 2.0

logger = logging.getLogger("model.launch")


class Follower:
    """Reads the spool under `folder` while the block runs, and once more at its end.

    Args:
        mirror: folder that gets a copy of the spool as it grows, where other logs look for it.
    """

    def __init__(self, folder: Path, *, epochs: int, log: RunLog | None, mirror: Path | None = None) -> None:
        self._spool = folder / SPOOL_FILE
        self._log = log or NullLog()
        self._mirror = mirror and mirror / SPOOL_FILE
        self._told = 0
        self._bar = tqdm(total=epochs, unit="epoch", desc="training", disable=None)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self._bar.close()

    def _run(self) -> None:
        while not self._ended.wait(PERIOD_S):
            self._look()

    def _look(self) -> None:
        lines = self._spool.read_bytes().split(b"\n")[:-1] if self._spool.is_file() else []
        # A resumed training drops lines past its checkpoint and writes them again.
        self._told = min(self._told, len(lines))
        fresh, self._told = lines[self._told :], len(lines)
        if fresh and self._mirror:
            self._mirror.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._spool, self._mirror)
        for line in fresh:
            self._tell(json.loads(line))

    def _tell(self, record: dict[str, Any]) -> None:
        if "params" in record:
            self._log.params(record["params"])
            return
        values = record["values"]
        self._log.metrics(values, record["step"])
        if "epoch" in values:
            held = {name[4:]: f"{value:.3g}" for name, value in values.items() if name.startswith("val/")}
            self._bar.update()
            self._bar.set_postfix(held)
            logger.info("step %d, an epoch done: %s", record["step"], held or "not validated")
