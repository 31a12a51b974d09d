"""What a training tells, kept on disk first: `metrics.jsonl` (all of it) and `history.csv` (a row an epoch).

Both are flushed line by line, so a killed process loses nothing; whatever lies past the checkpoint is dropped when
training resumes, so that a curve has no step twice. Other logs (MLflow) listen beside and may miss what the spool has.
"""

import csv
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.storage import append_text, atomic_path
from model.train.log import RunLog

HISTORY_FILE = "history.csv"
SPOOL_FILE = "metrics.jsonl"


class Spool:
    """A run log that writes files and passes everything on to `listener`; one that is not `active` keeps silent."""

    def __init__(self, out: Path, listener: RunLog, *, active: bool = True) -> None:
        self._out = out
        self._listener = listener
        self._active = active
        if active:
            out.mkdir(parents=True, exist_ok=True)

    def restart(self, step: int, epoch: int) -> None:
        """Drop lines past `step` and rows past `epoch`; from 0 both files begin anew."""
        if not self._active:
            return
        kept = [line for line in _lines(self._out / SPOOL_FILE) if step > 0 and _step_of(line) <= step]
        _rewrite(self._out / SPOOL_FILE, kept)
        rows = _lines(self._out / HISTORY_FILE)
        past = [row for row in rows[1:] if int(row.split(",", 1)[0]) <= epoch]
        _rewrite(self._out / HISTORY_FILE, rows[:1] + past if past else [])

    def params(self, values: Mapping[str, Any]) -> None:
        """Write the parameters as the first line, unless a resumed spool has them."""
        if not self._active:
            return
        if not _lines(self._out / SPOOL_FILE):
            self._append({"params": dict(values)})
        self._listener.params(values)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Append values of a step."""
        if not self._active:
            return
        self._append({"step": step, "time": round(time.time(), 3), "values": dict(values)})
        self._listener.metrics(values, step)

    def epoch(self, values: Mapping[str, float]) -> None:
        """Append a row to the history; columns it has never seen make the file anew, with gaps above."""
        if not self._active:
            return
        path = self._out / HISTORY_FILE
        rows = list(csv.DictReader(_lines(path)))
        names = list(rows[0]) if rows else []
        columns = names + [name for name in values if name not in names]
        row = {name: f"{value:.8g}" for name, value in values.items()}
        if columns == names:
            append_text(path, _csv_line([row.get(name, "") for name in columns]))
            return
        table = [columns, *([old.get(name) or "" for name in columns] for old in [*rows, row])]
        _rewrite(path, [_csv_line(cells).rstrip("\n") for cells in table])

    def _append(self, record: dict[str, Any]) -> None:
        append_text(self._out / SPOOL_FILE, json.dumps(record) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _step_of(line: str) -> int:
    """Step of a spool line, -1 for parameters; a line cut off by a kill lies past everything."""
    try:
        return int(json.loads(line).get("step", -1))
    except ValueError:
        return 2**62


def _rewrite(path: Path, lines: list[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


def _csv_line(cells: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()
