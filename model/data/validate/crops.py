"""A row of the quarantine as a crop, with the points and the box that may be what is wrong with it."""

from dataclasses import dataclass
from textwrap import wrap

import numpy as np

from model.data.codec import BACKGROUND, Floats, Pixels, Window, crop_matrix, encode_points
from model.data.sheet import Tile
from model.data.transforms import warp
from model.data.validate.columns import pairs_of
from model.data.validate.duplicates import Fingerprint, fingerprint
from model.data.validate.report import Quarantined
from model.schema import Box

_CROP = 192
_WIDEN = 1.25
_SMALLEST = 8.0
_LETTERS = 34


@dataclass(frozen=True, eq=False)
class Crop:
    """A face as it is drawn, points and box in crop units, and the fingerprint of the whole picture."""

    row: Quarantined
    pixels_HWC: Pixels
    points_P2: Floats
    box: Box | None
    print_: Fingerprint

    def tile(self, number: int) -> Tile:
        """Number, rule, end of the address and start of the reason, in letters that every font has, over the crop."""
        image, reason = self.row.record.image, wrap(self.row.reason, _LETTERS)
        name = image if len(image) <= _LETTERS else f"...{image[3 - _LETTERS :]}"
        if len(reason) > 2:
            reason = [reason[0], f"{reason[1][: _LETTERS - 4]} ..."]
        caption = "\n".join([f"{number}: {self.row.rule}", name, *reason])
        return Tile(self.pixels_HWC, caption.encode("ascii", "replace").decode(), self.points_P2, self.box)


def crop_row(row: Quarantined, picture_HWC: Pixels) -> Crop:
    """The part of the picture around box and points, the whole one where they tell no place; grey lies outside of it.

    Coordinates that are not finite are left out.
    """
    height, width = picture_HWC.shape[:2]
    box = row.record.box or []
    corners = _finite(np.reshape(box if len(box) == 4 else [], (-1, 2)).astype(np.float64))
    points = _finite(pairs_of(row.record))
    matrix = crop_matrix(_window(np.concatenate([corners, points]), width, height))
    return Crop(
        row,
        _grey_outside(warp(picture_HWC, matrix, _CROP), matrix, width, height),
        encode_points(points, matrix),
        _box(encode_points(corners, matrix)) if len(corners) == 2 else None,
        fingerprint(picture_HWC),
    )


def _window(pairs_P2: Floats, width: int, height: int) -> Window:
    """A square around the pairs, of which none counts as further out than half a picture."""
    size = np.array([width, height])
    near_P2 = np.clip(pairs_P2, -size / 2, 1.5 * size)
    side = float(np.ptp(near_P2, axis=0).max()) if len(near_P2) else 0.0
    if side < _SMALLEST:
        return Window((width - 1) / 2, (height - 1) / 2, float(max(width, height)))
    x, y = ((near_P2.min(axis=0) + near_P2.max(axis=0)) / 2).tolist()
    return Window(x, y, _WIDEN * side)


def _grey_outside(crop_HWC: Pixels, matrix: Floats, width: int, height: int) -> Pixels:
    corners = encode_points([[-0.5, -0.5], [width - 0.5, height - 0.5]], matrix) * _CROP
    (x0, y0), (x1, y1) = np.clip(np.round(corners), 0, _CROP).astype(int).tolist()
    grey = np.full_like(crop_HWC, BACKGROUND)
    grey[y0:y1, x0:x1] = crop_HWC[y0:y1, x0:x1]
    return grey


def _finite(pairs_P2: Floats) -> Floats:
    return pairs_P2[np.isfinite(pairs_P2).all(axis=1)]


def _box(corners_22: Floats) -> Box:
    (x0, y0), (x1, y1) = corners_22.tolist()
    return x0, y0, x1, y1
