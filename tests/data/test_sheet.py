"""Faces on one picture: what is drawn where, and that equal tiles give equal bytes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.data.sheet import BOX_COLOUR, POINT_COLOUR, Tile, draw_sheet

BLACK = np.zeros((64, 64, 3), np.uint8)


def pixels_of(path: Path, colour: str) -> NDArray[np.int64]:
    """Where a picture has about that colour, (P, 2): x, then y."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    with Image.open(path) as image:
        near_HW = np.abs(np.asarray(image.convert("RGB")).astype(int) - wanted).max(axis=2) < 90
    return np.argwhere(near_HW)[:, ::-1]


def test_points_and_box_are_drawn_where_they_are_given(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    draw_sheet(sheet, [Tile(BLACK, "")])
    assert len(pixels_of(sheet, POINT_COLOUR)) == len(pixels_of(sheet, BOX_COLOUR)) == 0
    crop = pixels_of(sheet, "#000000")
    low, high = crop.min(axis=0), crop.max(axis=0) + 1
    point, box = np.array([0.3, 0.85]), np.array([0.1, 0.2, 0.7, 0.6])
    draw_sheet(sheet, [Tile(BLACK, "", point[None], (0.1, 0.2, 0.7, 0.6))])
    dot = pixels_of(sheet, POINT_COLOUR).mean(axis=0) + 0.5
    assert np.abs(dot - (low + point * (high - low))).max() < 1
    frame = pixels_of(sheet, BOX_COLOUR) + 0.5
    corners = np.concatenate([frame.min(axis=0), frame.max(axis=0)])
    assert np.abs(corners - (np.tile(low, 2) + box * np.tile(high - low, 2))).max() < 2


def test_far_points_endless_boxes_and_dollar_signs_do_no_harm(tmp_path: Path) -> None:
    points = np.array([[0.5, 0.5], [1e300, 0.5], [-1e9, 1e9]])
    tiles = [Tile(BLACK, f"$x^{{{number} \\frac$.png", points, (-1e300, 0.1, 1e300, 0.9)) for number in range(7)]
    draw_sheet(tmp_path / "one.png", tiles)
    draw_sheet(tmp_path / "two.png", tiles)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert len(pixels_of(tmp_path / "one.png", POINT_COLOUR)) > 0


def test_no_tile_leaves_no_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    draw_sheet(sheet, [Tile(BLACK, "old")])
    draw_sheet(sheet, [])
    assert not sheet.exists()
