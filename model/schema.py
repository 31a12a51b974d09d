"""Names, sizes and records that every part shares.

Shape letters at function borders: B batch, C channels, H height, W width, K 68 landmarks, M 19 AFLW landmarks,
E 7 expressions, V 10 vote columns, 2 the coordinates (x, y).

Picture coordinates are 0-based pixels of the upright picture: (0, 0) is the centre of the first pixel.
Crop units run from 0 (left or upper edge of the crop) to 1 (right or lower edge).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    # Commands that need no network start without torch.
    from torch import Tensor

LANDMARKS = 68
LANDMARKS_19 = 19
EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
VOTES = (*EXPRESSIONS, "contempt", "unknown", "no face")
SPLITS = ("train", "val", "test")
NO_LABEL = -1

INTENDED_USE = (
    "Research on landmarks and apparent expressions in pictures. An apparent expression is what a face looks like to "
    "an onlooker, not what the person feels. Not for emotion inference at work or in education, nor for decisions "
    "about people."
)

Split = Literal["train", "val", "test"]
Box = tuple[float, float, float, float]

REGIONS: dict[str, slice] = {
    "jaw": slice(0, 17),
    "right_brow": slice(17, 22),
    "left_brow": slice(22, 27),
    "nose": slice(27, 36),
    "right_eye": slice(36, 42),
    "left_eye": slice(42, 48),
    "mouth": slice(48, 68),
}
"""iBUG order; right and left are the person's."""

CONTOURS: tuple[tuple[int, int, bool], ...] = (
    *((0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False)),
    *((36, 42, True), (42, 48, True), (48, 60, True), (60, 68, True)),
)
"""Points from the first number up to the second are one line, which is closed or open."""

OUTER_EYE_CORNERS = (36, 45)

# Partner of each point in the mirrored picture.
FLIP_68 = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
FLIP_19 = np.array([5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 14, 13, 12, 17, 16, 15, 18])

MANIFEST = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("subset", pa.string()),
        ("group", pa.string()),
        ("image", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("box", pa.list_(pa.float64())),
        ("points", pa.list_(pa.float64())),
        ("points_mask", pa.list_(pa.bool_())),
        ("points19", pa.list_(pa.float64())),
        ("points19_mask", pa.list_(pa.bool_())),
        ("expression", pa.string()),
        ("votes", pa.list_(pa.int32())),
        ("restricted", pa.bool_()),
        ("problem", pa.string()),
        ("facts", pa.string()),
    ]
)
"""Columns of the manifest, in order; null where unknown."""


@dataclass(frozen=True)
class FaceRecord:
    """One face of a benchmark: a row of the manifest.

    Attributes:
        image: path under `data/`, an `s3://` address, or a member of a pack (`sample/train.tar!000123.webp`).
        box: tight box of the points in picture coordinates; the whole picture where the picture is the face crop.
        points: 136 floats, x then y per point; `points19` likewise, 38 floats.
        votes: counts in the order of `VOTES`.
        problem: `code: file, line, what`, for a record that cannot be used; empty for a sound one.
        facts: whatever the benchmark tells beside (pose, age, gender, race), as JSON text.
    """

    record_id: str
    source: str
    split: str
    subset: str
    image: str
    group: str | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    box: list[float] | None = None
    points: list[float] | None = None
    points_mask: list[bool] | None = None
    points19: list[float] | None = None
    points19_mask: list[bool] | None = None
    expression: str | None = None
    votes: list[int] | None = None
    restricted: bool = False
    problem: str | None = None
    facts: str | None = None


class FaceBatch(NamedTuple):
    """Faces on their way into the network; a missing label has a false mask, and zeros in its place.

    `image_BCHW` is uint8 RGB; the network normalises. Points are in crop units. `expression_BE` is what the expression
    head learns, a distribution (the label alone, or mixed with votes); `label_B` is the one name that a human gave, or
    `NO_LABEL`, as also for a mixture of two faces. `source_B` numbers the sources of the split, `row_B` the rows.
    """

    image_BCHW: Tensor
    landmarks_BK2: Tensor
    landmarks_mask_BK: Tensor
    points19_BM2: Tensor
    points19_mask_BM: Tensor
    expression_BE: Tensor
    expression_mask_B: Tensor
    label_B: Tensor
    source_B: Tensor
    row_B: Tensor


class FaceOutput(NamedTuple):
    """Both answers, before (`base`) and after the residual exchange; points in crop units.

    `heat_BKHW` are the logits of the base heatmaps; `confidence_BK` lies in 0..1, surer is higher.
    A network without one of the tasks leaves that task's fields at None; `points19_BM2` is None without that head.
    """

    landmarks_base_BK2: Tensor | None
    landmarks_BK2: Tensor | None
    heat_BKHW: Tensor | None
    confidence_BK: Tensor | None
    points19_BM2: Tensor | None
    logits_base_BE: Tensor | None
    logits_BE: Tensor | None


class Term(NamedTuple):
    """Numerator and denominator of one loss term on this process: reduce both, then divide once."""

    total: Tensor
    number: Tensor


LossTerms = dict[str, Term]
"""Loss terms of one batch by name (`landmarks`, `landmarks_base`, `expression`, `assoc_learn`, ...), unweighted."""


@dataclass(frozen=True)
class ValidationReport:
    """What validation decided: counts, and each rule by name with the rows it moved to quarantine.

    `drift` has the digest of the accepted version that this one was compared with (null for none), what each comparison
    gave, and the profile of this version.
    """

    data_digest: str
    rows: int
    valid: int
    quarantined: int
    rules: list[dict[str, Any]]
    counts: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    drift: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainResult:
    """Where training put its weights, and the held-out metrics of the epoch that was kept."""

    weights: str
    weights_digest: str
    data_digest: str
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Measure:
    """One value of an evaluation with all that makes it comparable.

    `subset` names the slice (`all`, `source=w300`, `pose=|yaw|>30`, `class=fear`); `normaliser` and `threshold` are
    null where the metric has none. Errors are in percent of the normaliser, rates and F1 in percent.
    """

    split: str
    task: str
    metric: str
    subset: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    normaliser: str | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class EvaluationReport:
    """All measures of one set of weights on one version of the data; `summary` holds the headline values."""

    weights_digest: str
    data_digest: str
    summary: dict[str, float]
    measures: list[Measure]


@dataclass(frozen=True)
class ModelVersion:
    """A registered version with its gate: `pass` or `fail`, and a reason for each failed condition."""

    name: str
    version: str
    run_id: str
    weights_digest: str
    data_digest: str
    gate: Literal["pass", "fail"]
    reasons: list[str]


@dataclass(frozen=True)
class Deployment:
    """A running endpoint: address, what it serves, the process to stop, the file that holds the client token.

    A cluster keeps processes and tokens to itself: the last two are null there.
    """

    url: str
    model: str
    version: str
    pid: int | None
    key_file: str | None


def to_json(record: Any) -> dict[str, Any]:
    """A dataclass instance as plain JSON values."""
    return asdict(record)
