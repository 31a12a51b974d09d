"""The most suspect faces on one sheet; faces and pictures of restricted sources are never drawn."""

from collections.abc import Sequence
from pathlib import Path

from model.audit.audit import Suspect
from model.data.restricted import Restricted
from model.data.sheet import Tile, draw_sheet
from model.data.transforms import crop_face
from model.evaluation.answers import face_box, open_picture
from model.schema import FaceRecord

_CROP = 128
_CROP_SCALE = 1.4
_MOST = 36


def write_sheet(path: Path, suspects: Sequence[Suspect], records: Sequence[FaceRecord], data: Path) -> int:
    """Draw the first suspects that may be shown, with label and suggestion; returns their number.

    Without any there is no sheet, and an old one goes.
    """
    restricted = Restricted(records)
    by_id = {record.record_id: record for record in records if not restricted.hides(record)}
    shown = [suspect for suspect in suspects if suspect.row in by_id][:_MOST]
    draw_sheet(path, [_tile(suspect, by_id[suspect.row], data) for suspect in shown])
    return len(shown)


def _tile(suspect: Suspect, record: FaceRecord, data: Path) -> Tile:
    crop, _ = crop_face(open_picture(record, data), face_box(record), size=_CROP, crop_scale=_CROP_SCALE)
    return Tile(crop, f"{suspect.label}?\n{suspect.suggested} ({suspect.score:.2f})")
