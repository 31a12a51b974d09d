"""Brightness, contrast and sharpness of a face in its picture."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 64
_DARKEST = 1e-4


class Light(NamedTuple):
    """Grey level and its spread in 0..1; sharpness is log10 of the variance of the Laplacian at 64 x 64."""

    brightness: float
    contrast: float
    sharpness: float


def light_of(grey_HW: NDArray[np.uint8], box: Sequence[float] | None) -> Light:
    """Measure the part of the picture that the box covers; without a usable box, the whole picture."""
    small = cv2.resize(_inside(grey_HW, box), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    edges = cv2.Laplacian(small, cv2.CV_32F)
    # A dark picture is not a blurred one: edges count in units of the contrast.
    sharpness = np.log10(float(edges.var()) / max(float(small.var()), _DARKEST) + _DARKEST)
    return Light(float(small.mean()), float(small.std()), float(sharpness))


def _inside(grey_HW: NDArray[np.uint8], box: Sequence[float] | None) -> NDArray[np.uint8]:
    if box is None or len(box) != 4 or not np.isfinite(box).all():
        return grey_HW
    height, width = grey_HW.shape
    x0, y0, x1, y1 = (round(side) for side in box)
    part = grey_HW[max(y0, 0) : min(y1 + 1, height), max(x0, 0) : min(x1 + 1, width)]
    return part if part.size else grey_HW
