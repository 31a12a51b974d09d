"""Finished runs as the statistics need them, read from the folder of results alone."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.method.faces import Faces, read_faces
from benchmarks.method.packing import unpack_classes, unpack_errors
from benchmarks.method.plan import Metric, PlannedRun, Study, planned_runs
from benchmarks.method.statistics import Drawn, Values, draw_subjects, f1_values, nme_values
from model.errors import DataContractError
from model.storage import read_json


class Results:
    """The planned runs that are done.

    Attributes:
        done: what each finished run wrote, in the order of the plan.

    Raises:
        DataContractError: no run is done, or one was measured on other faces than those of its data set's file.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self.study = study
        paths = {run: folder / f"{run.key}.json" for run in planned_runs(study)}
        self.done: dict[PlannedRun, dict[str, Any]] = {
            run: read_json(path) for run, path in paths.items() if path.exists()
        }
        if not self.done:
            raise DataContractError(f"{folder}: no result of the plan; run `python -m benchmarks.method run` first")
        self._faces = {name: read_faces(folder, name) for name in {run.data for run in self.done}}
        for run, values in self.done.items():
            if values["faces_digest"] != self._faces[run.data].digest:
                raise DataContractError(
                    f"{paths[run]}: measured on other faces than {run.data}-faces.json; run it again"
                )
        self._drawn = cache(self._draw)
        self.values = cache(self._values)

    @property
    def sets(self) -> list[str]:
        """Data sets with a result, in the order of the plan."""
        return [name for name in self.study.data if name in self._faces]

    def faces(self, data: str) -> Faces:
        """Test faces of a data set."""
        return self._faces[data]

    def rows(self, data: str, fraction: float = 1.0) -> list[str]:
        """Rows with a result, in the order of the plan."""
        return list(dict.fromkeys(run.row for run in self.done if (run.data, run.fraction) == (data, fraction)))

    def fractions(self, data: str) -> list[float]:
        """Fractions of the labels with a result, from all to few."""
        return sorted({run.fraction for run in self.done if run.data == data}, reverse=True)

    def runs(self, data: str, row: str, metric: Metric | None = None, *, fraction: float = 1.0) -> list[PlannedRun]:
        """Finished runs of a row by seed; with `metric`, none where the row's network has not that task."""
        column = None if metric is None else _COLUMNS[metric]
        wanted = (data, fraction, row)
        found = [run for run in self.done if (run.data, run.fraction, run.row) == wanted]
        return sorted((run for run in found if column is None or self.done[run][column]), key=lambda run: run.seed)

    def pairs(self, one: Iterable[PlannedRun], other: Iterable[PlannedRun]) -> list[tuple[PlannedRun, PlannedRun]]:
        """Runs of two rows that share a seed."""
        others = {run.seed: run for run in other}
        return [(run, others[run.seed]) for run in one if run.seed in others]

    def _draw(self, data: str) -> Drawn:
        settings = self.study.statistics
        generator = np.random.default_rng([settings.seed, 1])
        return draw_subjects(self._faces[data].count_G, settings.resamples, generator)

    def _values(self, run: PlannedRun, metric: Metric) -> Values:
        faces, packed = self._faces[run.data], self.done[run][_COLUMNS[metric]]
        drawn_RG = self._drawn(run.data)
        if metric == "nme":
            return nme_values(unpack_errors(packed), faces.pointed_G, drawn_RG)
        return f1_values(unpack_classes(packed), faces.label_N, faces.subject_N, drawn_RG)


_COLUMNS: dict[Metric, str] = {"nme": "nme_by_subject", "macro_f1": "class_by_face"}
