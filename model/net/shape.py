"""What a face's shape says once position, size, roll, and small turns of the head are taken out of it."""

import torch
from torch import Tensor, nn

from model.schema import LANDMARKS, OUTER_EYE_CORNERS

# Depth of the 68 points away from the camera, in inter-ocular distances, the same left and right. Read off the
# public-domain MakeHuman base mesh, the jaw smoothed; only the directions matter, so two decimals are plenty.
_DEPTH = (
    *(0.72, 0.68, 0.60, 0.52, 0.40, 0.25, 0.10, -0.04, -0.12, -0.04, 0.10, 0.25, 0.40, 0.52, 0.60, 0.68, 0.72),
    *(0.17, 0.02, -0.07, -0.12, -0.16, -0.16, -0.12, -0.07, 0.02, 0.17),
    *(-0.17, -0.21, -0.26, -0.36, -0.18, -0.23, -0.25, -0.23, -0.18),
    *(0.00, -0.06, -0.05, -0.02, -0.05, -0.05, -0.02, -0.05, -0.06, 0.00, -0.05, -0.05),
    *(-0.08, -0.19, -0.26, -0.28, -0.26, -0.19, -0.08, -0.13, -0.22, -0.24, -0.22, -0.13),
    *(-0.12, -0.25, -0.23, -0.25, -0.12, -0.18, -0.18, -0.18),
)
_SMALLEST = 1e-8
# Codes vary by about a twentieth of the inter-ocular distance a coordinate: what layers read is of order one.
CODE_SCALE = 20.0
SHAPE_CODE = 2 * LANDMARKS


class ShapeCode(nn.Module):
    """`z(s) = P (align(s) - mean)`: similarity Procrustes to the mean shape, then without yaw and pitch.

    `align` is the least-squares similarity (no reflection); `P` removes the two directions in which the shape moves
    when the head turns a little, each freed of what alignment already removes. Unit: inter-ocular distance of the mean.
    """

    mean_K2: Tensor
    turns_2Z: Tensor

    def __init__(self, mean_shape_K2: Tensor) -> None:
        super().__init__()
        mean = mean_shape_K2.double()
        mean = mean - mean.mean(dim=0)
        mean = mean / (mean[OUTER_EYE_CORNERS[0]] - mean[OUTER_EYE_CORNERS[1]]).norm()
        # Both follow from the mean shape of meta.json: not weights of their own.
        self.register_buffer("mean_K2", mean.float(), persistent=False)
        self.register_buffer("turns_2Z", _turns(mean).float(), persistent=False)

    def forward(self, points_BK2: Tensor) -> Tensor:
        """Points in any unit -> code (B, Z) in fp32, with gradient to the points.

        Equal for all similar copies of a shape. Points that all coincide give a finite code.
        """
        with torch.autocast(points_BK2.device.type, enabled=False):
            points = points_BK2.float()
            points = points - points.mean(dim=1, keepdim=True)
            difference = (_align(points, self.mean_K2) - self.mean_K2).flatten(1)  # (B, Z)
            code: Tensor = difference - (difference @ self.turns_2Z.T) @ self.turns_2Z
            return code


def shape_code(points_BK2: Tensor, mean_shape: Tensor) -> Tensor:
    """The code (B, Z) of shapes against a mean shape (K, 2); see `ShapeCode`."""
    code: Tensor = ShapeCode(mean_shape).to(points_BK2.device)(points_BK2)
    return code


def _align(points_BK2: Tensor, mean_K2: Tensor) -> Tensor:
    """Turn and scale centred points onto the mean: the complex regression `<points, mean> / <points, points>`."""
    x, y = points_BK2.unbind(-1)
    mean_x, mean_y = mean_K2.unbind(-1)
    size = (x.square() + y.square()).sum(dim=1, keepdim=True).clamp(min=_SMALLEST)
    cosine = (x * mean_x + y * mean_y).sum(dim=1, keepdim=True) / size
    sine = (x * mean_y - y * mean_x).sum(dim=1, keepdim=True) / size
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)


def _turns(mean_K2: Tensor) -> Tensor:
    """Orthonormal (2, Z): first-order motion of the aligned shape by yaw (x moves with depth) and pitch (y does)."""
    depth = torch.tensor(_DEPTH, dtype=mean_K2.dtype, device=mean_K2.device)
    depth = depth - depth.mean()
    none = torch.zeros_like(depth)
    turned = torch.stack([mean_K2[:, 1], -mean_K2[:, 0]], dim=-1)
    # Alignment has already removed size and roll; what it leaves of a turn is orthogonal to both.
    aligned = torch.stack([mean_K2, turned]).flatten(1)
    turns = torch.stack([torch.stack([depth, none], dim=-1), torch.stack([none, depth], dim=-1)]).flatten(1)
    basis: Tensor = torch.linalg.qr(torch.cat([aligned, turns]).T)[0]
    return basis.T[2:]
