"""The only road from a picture to the network: training, evaluation and serving all cut faces here."""

import cv2
import numpy as np

from model.data.codec import Floats, Pixels, crop_matrix, face_window
from model.schema import Box


def warp(image_HWC: Pixels, matrix: Floats, size: int) -> Pixels:
    """The crop of `size` x `size` pixels that `matrix` (picture coordinates to crop units) describes, HWC uint8.

    Where the crop shrinks the picture by s, each crop pixel averages over its s x s picture pixels: an exact box
    reduction by floor(s), then twofold supersampling for what is left. Enlarging is bilinear. Outside the picture its
    border pixels are repeated: a constant would draw an outline that the network could mistake for the face's.
    """
    inverse = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))
    shrink = float(np.sqrt(abs(np.linalg.det(inverse[:2, :2])))) / size
    reduction = max(1, int(shrink + 1e-6))
    region, (x0, y0) = _region(image_HWC, inverse, reduction)
    # From units to pixels of the reduced region; then from pixels of the warped picture to units.
    inverse[:2] = (inverse[:2] - [[0, 0, x0 - 0.5], [0, 0, y0 - 0.5]]) / reduction - [[0, 0, 0.5], [0, 0, 0.5]]
    samples = 2 if shrink / reduction > 1.0 + 1e-6 else 1
    warped = _warp_linear(region, inverse, size * samples)
    return _shrink(warped, size, size) if samples > 1 else warped


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


def _region(image_HWC: Pixels, inverse: Floats, reduction: int) -> tuple[Pixels, tuple[int, int]]:
    """The part of the picture under the crop, box-reduced, and where its first pixel lies in the picture."""
    height, width = image_HWC.shape[:2]
    corners = inverse[:2, :2] @ [[0, 1, 0, 1], [0, 0, 1, 1]] + inverse[:2, 2:]
    margin = 2 * reduction
    x0, y0 = (int(v) for v in np.clip(np.floor(corners.min(axis=1)) - margin, 0, (width - 1, height - 1)))
    x1, y1 = (int(v) for v in np.clip(np.ceil(corners.max(axis=1)) + margin + 1, (x0 + 1, y0 + 1), (width, height)))
    region = image_HWC[y0:y1, x0:x1]
    if reduction > 1:
        columns, rows = -(-(x1 - x0) // reduction), -(-(y1 - y0) // reduction)
        below, right = rows * reduction - (y1 - y0), columns * reduction - (x1 - x0)
        if below or right:
            region = np.pad(region, ((0, below), (0, right), (0, 0)), mode="edge")
        region = _shrink(region, columns, rows)
    return region, (x0, y0)


def _warp_linear(image_HWC: Pixels, unit_to_pixel: Floats, size: int) -> Pixels:
    inverse = unit_to_pixel[:2] @ [[1 / size, 0, 0.5 / size], [0, 1 / size, 0.5 / size], [0, 0, 1]]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image_HWC, inverse, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def _shrink(image_HWC: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(cv2.resize(image_HWC, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
