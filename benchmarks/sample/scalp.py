"""Where hair grows on the template and how far a head of hair stands off."""

import numpy as np

from benchmarks.sample.headmesh import PARTS, HeadMesh
from benchmarks.sample.schema import Floats

# Height of the hairline round the head: degrees from the front, metres on the template.
_ANGLES = (0, 25, 45, 62, 72, 84, 96, 112, 135, 160, 180)
_HEIGHTS = (0.803, 0.806, 0.800, 0.780, 0.745, 0.735, 0.752, 0.735, 0.690, 0.668, 0.664)
_AXIS_Y = -0.03


def scalp_height(head: HeadMesh) -> Floats:
    """Metres (V,) of each vertex above the hairline; negative on bare skin."""
    x, y, z = head.template.T
    angle = np.degrees(np.arctan2(np.abs(x), -(y - _AXIS_Y)))
    height: Floats = z - np.interp(angle, _ANGLES, _HEIGHTS)
    hull = np.unique(head.triangles[head.triangle_parts == PARTS.index("hair")])
    ear = (np.abs(x) > 0.071) & (z > 0.675) & (z < 0.755) & (y > -0.07) & (y < -0.01)
    height[ear] = np.minimum(height[ear], -0.02)
    height[hull] = np.where(y[hull] < -0.055, height[hull], 0.05)
    return height


def cap_thickness(head: HeadMesh, scalp: Floats, volume: float) -> Floats:
    """Offset (V,) of the hair cap along the normals: nothing at the hairline, `volume` metres on top."""
    rise = np.clip(scalp / 0.05, 0, 1)
    thickness: Floats = 0.0015 * (scalp > -0.01) + volume * rise * (1.5 - 0.5 * rise)
    return np.where(scalp > -0.012, thickness, -0.002)
