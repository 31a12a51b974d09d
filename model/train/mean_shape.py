"""The mean face that shape codes are taken against: generalised Procrustes over the training landmarks."""

import numpy as np
import numpy.typing as npt

from model.schema import FLIP_68, LANDMARKS

Points = npt.NDArray[np.float64]

# Fewer whole faces than this say more about who they are than about a face.
_ENOUGH = 8
_ROUNDS = 5

# The person's right half of a frontal face with closed mouth, in crop units; the other half is its mirror image.
_RIGHT_HALF = {
    0: (0.135, 0.340), 1: (0.140, 0.440), 2: (0.155, 0.540), 3: (0.175, 0.635), 4: (0.210, 0.720),
    5: (0.265, 0.790), 6: (0.335, 0.840), 7: (0.415, 0.875), 8: (0.500, 0.890),
    17: (0.195, 0.245), 18: (0.240, 0.205), 19: (0.300, 0.190), 20: (0.360, 0.200), 21: (0.420, 0.225),
    27: (0.500, 0.315), 28: (0.500, 0.380), 29: (0.500, 0.440), 30: (0.500, 0.505),
    31: (0.425, 0.550), 32: (0.460, 0.565), 33: (0.500, 0.575),
    36: (0.260, 0.325), 37: (0.300, 0.305), 38: (0.345, 0.305), 39: (0.385, 0.330), 40: (0.345, 0.340),
    41: (0.300, 0.340),
    48: (0.360, 0.675), 49: (0.410, 0.655), 50: (0.465, 0.645), 51: (0.500, 0.650),
    57: (0.500, 0.730), 58: (0.460, 0.728), 59: (0.410, 0.710),
    60: (0.380, 0.677), 61: (0.465, 0.673), 62: (0.500, 0.675), 66: (0.500, 0.690), 67: (0.465, 0.688),
}  # fmt: skip


def mean_shape(landmarks_NK2: Points, mask_NK: npt.NDArray[np.bool_]) -> Points:
    """Mean of the faces with all 68 points after similarity alignment, with their mean place and size.

    A set without enough such faces gets the drawn template.

    Returns:
        (68, 2) in crop units.
    """
    whole_NK2 = landmarks_NK2[mask_NK.all(axis=1)] if len(landmarks_NK2) else landmarks_NK2
    if len(whole_NK2) < _ENOUGH:
        return template()
    centre_N12 = whole_NK2.mean(axis=1, keepdims=True)
    centred = whole_NK2 - centre_N12
    size_N = np.sqrt((centred**2).sum(axis=(1, 2)))
    unit = centred / size_N[:, None, None]
    mean = _unit(unit.mean(axis=0))
    for _ in range(_ROUNDS):
        mean = _unit(_rotated_to(unit, mean).mean(axis=0))
    return np.asarray(mean * size_N.mean() + centre_N12.mean(axis=0))


def template() -> Points:
    """A frontal face that belongs to nobody, (68, 2) in crop units."""
    points = np.zeros((LANDMARKS, 2))
    for index, (x, y) in _RIGHT_HALF.items():
        points[FLIP_68[index]] = (1 - x, y)
        points[index] = (x, y)
    return points


def _rotated_to(unit_NK2: Points, mean_K2: Points) -> Points:
    """Each face turned to fit the mean best; complex numbers make the rotation a phase."""
    faces = unit_NK2[..., 0] + 1j * unit_NK2[..., 1]
    mean = mean_K2[:, 0] + 1j * mean_K2[:, 1]
    turn = (np.conj(faces) * mean).sum(axis=1)
    turned = faces * (turn / np.abs(turn))[:, None]
    return np.stack([turned.real, turned.imag], axis=-1)


def _unit(shape_K2: Points) -> Points:
    return np.asarray(shape_K2 / np.sqrt((shape_K2**2).sum()))
