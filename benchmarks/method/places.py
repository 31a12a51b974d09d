"""Where a study finds its plan and its data and leaves its results."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.method.plan import PlannedRun


@dataclass(frozen=True)
class Places:
    """Plan, configuration, data sets and results."""

    study: Path
    params: Path
    data: Path
    results: Path

    def folder(self, run: PlannedRun) -> Path:
        """Where a run trains."""
        return self.data / "runs" / run.key

    def result(self, run: PlannedRun) -> Path:
        """The JSON of a finished run."""
        return self.results / f"{run.key}.json"
