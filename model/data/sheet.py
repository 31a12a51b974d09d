"""Faces on one picture: a grid of crops with captions, and the points and box of each where they are given.

What is drawn here may be shown: callers leave the faces of restricted sources out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from model.data.codec import Floats, Pixels
from model.schema import Box
from model.storage import atomic_path

POINT_COLOUR, BOX_COLOUR = "#00b8f5", "#ff5a1f"

_COLUMNS = 6
_CELL = 1.75
_TITLE = 0.45
_REACH = 2.0
"""Crop units beyond which a point is not drawn and a box is cut off."""


class Tile(NamedTuple):
    """A square crop (S, S, 3) and what is written above it; points and box in crop units, None for none."""

    crop_HWC: Pixels
    caption: str
    points_K2: Floats | None = None
    box: Box | None = None


def draw_sheet(path: Path, tiles: Sequence[Tile]) -> None:
    """Write the tiles as a PNG, in their order; the same tiles give the same bytes.

    Without any there is no sheet, and an old one goes.
    """
    path.unlink(missing_ok=True)
    if not tiles:
        return
    lines = -(-len(tiles) // _COLUMNS)
    figure = Figure(figsize=(_CELL * _COLUMNS, (_CELL + _TITLE) * lines), dpi=110, layout="constrained")
    panels: list[Axes] = list(np.ravel(figure.subplots(lines, _COLUMNS, squeeze=False)))
    for axes in panels:
        axes.set_axis_off()
    for axes, tile in zip(panels, tiles, strict=False):
        _draw(axes, tile)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(axes: Axes, tile: Tile) -> None:
    side = len(tile.crop_HWC)
    axes.imshow(tile.crop_HWC)
    if tile.points_K2 is not None:
        near_K2 = tile.points_K2[(np.abs(tile.points_K2) <= _REACH).all(axis=1)]
        axes.scatter(near_K2[:, 0] * side - 0.5, near_K2[:, 1] * side - 0.5, s=3, color=POINT_COLOUR, linewidth=0)
    if tile.box is not None:
        x0, y0, x1, y1 = np.clip(tile.box, -_REACH, _REACH) * side - 0.5
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=BOX_COLOUR, linewidth=1))
    axes.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
    # A dollar sign in the name of a file is no formula.
    axes.set_title(tile.caption, fontsize=6, pad=2, loc="left", parse_math=False)
