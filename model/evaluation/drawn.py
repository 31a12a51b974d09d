"""A sheet of faces with true and predicted points; faces and pictures of restricted sources are never drawn."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.data.codec import encode_points
from model.data.transforms import crop_face
from model.evaluation.answers import face_box, open_picture
from model.evaluation.findings import Findings
from model.schema import EXPRESSIONS

_CROP = 224
_WIDEN = 1.25
_COLUMNS = 4
_CELL = 2.05
TRUTH, ANSWER = "#00b8f5", "#ff5a1f"
_WRONG, _MUTED = "#c2255c", "#64748b"


def choose_faces(findings: Findings) -> list[int]:
    """Rows to draw, `evaluate.drawn` of them: the best, those around the median, and the worst by error.

    Without landmark truth they are ordered by the probability of the true class instead. Restricted faces are out.
    """
    order = _order(findings)
    count = min(findings.config.drawn, len(order))
    best, worst = (count + 2) // 3, (count + 1) // 3
    middle = count - best - worst
    rest = order[best : len(order) - worst]
    start = (len(rest) - middle) // 2
    return [*order[:best], *rest[start : start + middle], *order[len(order) - worst :]]


def draw_faces(findings: Findings, rows: Sequence[int]) -> Figure | None:
    """The sheet, in the order of `rows`; None for no rows."""
    if not rows:
        return None
    lines = -(-len(rows) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _CELL, lines * (_CELL + 0.42)), dpi=144, layout="constrained")
    panels: list[Axes] = list(np.ravel(figure.subplots(lines, _COLUMNS, squeeze=False)))
    for axes in panels:
        axes.set_axis_off()
    for axes, row in zip(panels, rows, strict=False):
        _draw_face(axes, findings, row)
    return figure


def _order(findings: Findings) -> list[int]:
    """Rows from best to worst."""
    main = findings.main_errors()
    if main is not None:
        score_N = main[1]
    elif findings.answers.probabilities_NE is not None:
        label_N = findings.truth.expression_N
        chosen_N = findings.answers.probabilities_NE[np.arange(len(label_N)), label_N]
        score_N = np.where(label_N >= 0, -chosen_N, np.nan)
    else:
        return []
    allowed_N = np.array([not findings.restricted.hides(record) for record in findings.records]) & ~np.isnan(score_N)
    return [int(row) for row in np.argsort(score_N, kind="stable") if allowed_N[row]]


def _draw_face(axes: Axes, findings: Findings, row: int) -> None:
    record = findings.records[row]
    scale = findings.meta.net.crop_scale * _WIDEN
    picture = open_picture(record, findings.data)
    crop, matrix = crop_face(picture, face_box(record), size=_CROP, crop_scale=scale)
    axes.imshow(crop)
    answers, truth = findings.answers, findings.truth
    pairs = ((truth.landmarks_NK2, answers.landmarks_NK2), (truth.points19_NM2, answers.points19_NM2))
    for known_NK2, given_NK2 in pairs:
        _dots(axes, known_NK2[row], matrix, TRUTH)
        if given_NK2 is not None and np.isfinite(known_NK2[row]).any():
            _dots(axes, given_NK2[row], matrix, ANSWER)
    axes.set(xlim=(-0.5, _CROP - 0.5), ylim=(_CROP - 0.5, -0.5))
    lines, colour = _caption(findings, row)
    axes.set_title(lines, fontsize=6.6, color=colour, loc="left", pad=3, linespacing=1.35)


def _dots(
    axes: Axes,
    points_K2: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    colour: str,
) -> None:
    unit = encode_points(points_K2, matrix)
    axes.scatter(unit[:, 0] * _CROP - 0.5, unit[:, 1] * _CROP - 0.5, s=4.5, color=colour, linewidth=0)


def _caption(findings: Findings, row: int) -> tuple[str, str]:
    """Error on the first line; on the second the two most probable classes and the label; red where it is wrong."""
    main = findings.main_errors()
    lines = [] if main is None or np.isnan(main[1][row]) else [f"error {100 * main[1][row]:.2f} %"]
    colour = _MUTED
    if findings.answers.probabilities_NE is not None:
        probabilities_E = findings.answers.probabilities_NE[row]
        first, second = np.argsort(-probabilities_E, kind="stable")[:2]
        lines.append(", ".join(f"{EXPRESSIONS[place]} {100 * probabilities_E[place]:.0f}" for place in (first, second)))
        label = int(findings.truth.expression_N[row])
        if label >= 0:
            lines[-1] += f"  (label: {EXPRESSIONS[label]})"
            colour = _MUTED if label == first else _WRONG
    return "\n".join(lines), colour
