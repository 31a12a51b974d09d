"""The sheet of suspects: which of them are drawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.audit import sheet
from model.audit.audit import Suspect
from model.data.sheet import Tile
from model.schema import FaceRecord


def test_of_a_mixed_set_faces_and_pictures_of_restricted_sources_are_not_drawn(
    drawn: Callable[[int], tuple[list[FaceRecord], Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another record of such a picture, by its address or by its bytes, is not drawn either."""
    tiles: list[Tile] = []
    monkeypatch.setattr(sheet, "draw_sheet", lambda _, drawn_tiles: tiles.extend(drawn_tiles))
    records, data = drawn(5)
    closed = [replace(record, record_id=f"closed/{row}", restricted=True) for row, record in enumerate(records[:3])]
    closed[1] = replace(closed[1], sha256=None)
    closed[2] = replace(closed[2], image="elsewhere.png")
    suspects = [
        Suspect(record.record_id, record.image, str(record.expression), "fear", number / 100)
        for number, record in enumerate([*closed, *records])
    ]
    assert sheet.write_sheet(tmp_path / "sheet.png", suspects, [*closed, *records], data) == 2
    assert [tile.caption.splitlines()[1] for tile in tiles] == ["fear (0.06)", "fear (0.07)"]
