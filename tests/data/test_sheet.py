"""Faces on one picture: what is drawn where, and that equal tiles give equal bytes."""

from pathlib import Path

import numpy as np
from PIL import Image

from model.data.sheet import BOX_COLOUR, POINT_COLOUR, Tile, draw_sheet

BLACK = np.zeros((64, 64, 3), np.uint8)


def pixels_of(path: Path, colour: str) -> int:
    """How many pixels of a picture have about that colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    with Image.open(path) as image:
        return int((np.abs(np.asarray(image.convert("RGB")).astype(int) - wanted).max(axis=2) < 90).sum())


def test_points_and_box_are_drawn_where_they_are_given(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    draw_sheet(sheet, [Tile(BLACK, "bare")])
    assert pixels_of(sheet, POINT_COLOUR) == pixels_of(sheet, BOX_COLOUR) == 0
    draw_sheet(sheet, [Tile(BLACK, "both", np.full((1, 2), 0.5), (0.2, 0.2, 0.8, 0.8))])
    assert pixels_of(sheet, POINT_COLOUR) > 0
    assert pixels_of(sheet, BOX_COLOUR) > 100


def test_far_points_endless_boxes_and_dollar_signs_do_no_harm(tmp_path: Path) -> None:
    points = np.array([[0.5, 0.5], [1e300, 0.5], [-1e9, 1e9]])
    tiles = [Tile(BLACK, f"$x^{{{number} \\frac$.png", points, (-1e300, 0.1, 1e300, 0.9)) for number in range(7)]
    draw_sheet(tmp_path / "one.png", tiles)
    draw_sheet(tmp_path / "two.png", tiles)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert pixels_of(tmp_path / "one.png", POINT_COLOUR) > 0


def test_no_tile_leaves_no_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    draw_sheet(sheet, [Tile(BLACK, "old")])
    draw_sheet(sheet, [])
    assert not sheet.exists()
