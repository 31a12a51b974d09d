"""The only road from a picture to the network: training, evaluation and serving all cut faces here."""

from math import ceil, floor, sqrt

import cv2
import numpy as np

from model.data.codec import Floats, Pixels, crop_matrix, face_window
from model.schema import Box

_EXACT = 1e-6
"""Shrinking by less than this above a whole number counts as that number."""

_SAFE_REDUCTION = 256
"""Whole-number reduction that any picture may get; beyond it, one of at most a quarter of the shorter side."""


def warp(image_HWC: Pixels, matrix: Floats, size: int) -> Pixels:
    """The crop of `size` x `size` pixels that `matrix` (picture coordinates to crop units) describes, HWC uint8.

    Where the crop shrinks the picture by s, detail too fine for it is averaged away first: an exact box reduction by
    r = floor(s), then a Gaussian of variance ((s/r)^2 - 1) / 6 px^2, which weighs the crop's finest waves about as a
    box of s/r would. Sampling is bilinear. Outside the picture its border pixels are repeated: a constant would draw an
    outline that the network could mistake for the face's. Where a crop pixel covers most of the picture r is bounded,
    so that memory stays near that of the picture however large the crop's window.
    """
    (a, b, c), (d, e, f) = matrix.tolist()
    determinant = a * e - b * d
    shrink = 1 / (sqrt(abs(determinant)) * size)
    most = max(_SAFE_REDUCTION, min(image_HWC.shape[:2]) // 4)
    reduction = min(max(1, int(shrink + _EXACT)), most)
    # Steps in the picture for one crop pixel to the right and down, and the picture position of the first crop pixel.
    right = e / (determinant * size), -d / (determinant * size)
    down = -b / (determinant * size), a / (determinant * size)
    origin_x = (b * f - c * e) / determinant + (right[0] + down[0]) / 2
    origin_y = (c * d - a * f) / determinant + (right[1] + down[1]) / 2
    x0, x1 = _span(origin_x, (size - 1) * right[0], (size - 1) * down[0], 2 * reduction, image_HWC.shape[1])
    y0, y1 = _span(origin_y, (size - 1) * right[1], (size - 1) * down[1], 2 * reduction, image_HWC.shape[0])
    region = _without_detail(image_HWC[y0:y1, x0:x1], reduction, shrink / reduction)
    start_x, start_y = (origin_x - x0 + 0.5) / reduction - 0.5, (origin_y - y0 + 0.5) / reduction - 0.5
    to_region = np.array(
        [
            [right[0] / reduction, down[0] / reduction, start_x],
            [right[1] / reduction, down[1] / reduction, start_y],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(region, to_region, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def crop_face(image_HWC: Pixels, box: Box, *, size: int, crop_scale: float) -> tuple[Pixels, Floats]:
    """What the network sees of a face when nothing is varied, and the matrix that made it.

    Returns:
        The crop (size, size, 3), and the map from picture coordinates to crop units for `encode_points` and
        `decode_points`.

    Raises:
        DataContractError: a box without extent.
    """
    height, width = image_HWC.shape[:2]
    matrix = crop_matrix(face_window(box, width, height, crop_scale))
    return warp(image_HWC, matrix, size), matrix


def _span(origin: float, along: float, across: float, margin: int, extent: int) -> tuple[int, int]:
    """First and last (exclusive) picture pixel that the crop needs on one axis; at least one, inside the picture."""
    low = origin + min(along, 0.0) + min(across, 0.0) - margin
    high = origin + max(along, 0.0) + max(across, 0.0) + margin
    start = min(max(floor(low), 0), extent - 1)
    return start, min(max(ceil(high) + 1, start + 1), extent)


def _without_detail(region_HWC: Pixels, reduction: int, remaining: float) -> Pixels:
    """Box-reduced by a whole number, then smoothed for the rest (`remaining` from 1); nothing done at 1 and 1."""
    smooth: Pixels = region_HWC
    if reduction > 1:
        rows, columns = (-(-extent // reduction) for extent in region_HWC.shape[:2])
        below, right = rows * reduction - region_HWC.shape[0], columns * reduction - region_HWC.shape[1]
        if below or right:
            smooth = np.pad(smooth, ((0, below), (0, right), (0, 0)), mode="edge")
        smooth = np.asarray(cv2.resize(smooth, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if remaining > 1 + _EXACT:
        sigma = sqrt((remaining**2 - 1) / 6)
        smooth = np.asarray(cv2.GaussianBlur(smooth, (3, 3), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)
    return smooth
