"""Everything that an evaluation found, for those who draw and write about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.config import EvaluateConfig
from model.data.restricted import Restricted
from model.evaluation.answers import FaceAnswers, FaceTruth
from model.evaluation.landmarks import Array, Normaliser
from model.schema import EvaluationReport, FaceRecord, Measure
from model.weights import Meta

Errors = Mapping[tuple[str, Normaliser], Array]


@dataclass(frozen=True)
class Findings:
    """Report, and the faces behind it.

    Attributes:
        errors: of each face by task and normaliser, fractions.
        slices: names, in the order in which they are shown.
        restricted: the pictures of all splits that the sheet of faces must not show.
        data: folder of the pictures, for that sheet.
    """

    config: EvaluateConfig
    report: EvaluationReport
    meta: Meta
    records: Sequence[FaceRecord]
    restricted: Restricted
    answers: FaceAnswers
    truth: FaceTruth
    errors: Errors
    slices: Sequence[str]
    warnings: Sequence[str]
    data: Path

    def measures(self, task: str, metric: str, normaliser: str | None = None) -> list[Measure]:
        """The measures of one metric, over all its slices and thresholds."""
        wanted = (task, metric, normaliser)
        return [row for row in self.report.measures if (row.task, row.metric, row.normaliser) == wanted]

    def main_errors(self) -> tuple[Normaliser, Array] | None:
        """Normaliser and errors that the pictures show: inter-ocular, or the box diagonal where only 19 points are."""
        for key in (("landmarks", "inter_ocular"), ("landmarks19", "box_diagonal")):
            errors_N = self.errors.get(key)
            if errors_N is not None and (errors_N >= 0).any():
                return key[1], errors_N
        return None
