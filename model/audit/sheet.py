"""The most suspect faces on one sheet; faces of restricted sources are never drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from model.audit.audit import Suspect
from model.data.transforms import crop_face
from model.evaluation.answers import face_box, open_picture
from model.schema import FaceRecord
from model.storage import atomic_path

_CROP = 128
_CROP_SCALE = 1.4
_COLUMNS = 8
_MOST = 32


def write_sheet(path: Path, suspects: Sequence[Suspect], records: Sequence[FaceRecord], data: Path) -> int:
    """Draw the first suspects that may be shown, with label and suggestion; returns their number.

    Without any there is no sheet, and an old one goes.
    """
    by_id = {record.record_id: record for record in records if not record.restricted}
    shown = [suspect for suspect in suspects if suspect.row in by_id][:_MOST]
    path.unlink(missing_ok=True)
    if not shown:
        return 0
    lines = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(1.3 * _COLUMNS, 1.65 * lines), dpi=110, layout="constrained")
    panels = list(np.ravel(figure.subplots(lines, _COLUMNS, squeeze=False)))
    for axes in panels:
        axes.set_axis_off()
    for axes, suspect in zip(panels, shown, strict=False):
        record = by_id[suspect.row]
        crop, _ = crop_face(open_picture(record, data), face_box(record), size=_CROP, crop_scale=_CROP_SCALE)
        axes.imshow(crop)
        axes.set_title(f"{suspect.label}?\n{suspect.suggested} ({suspect.score:.2f})", fontsize=6.5, pad=2)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    return len(shown)
