"""What lies behind the head: a gradient, soft noise and out-of-focus shapes."""

import cv2
import numpy as np

from benchmarks.sample.schema import Floats


def draw_background(rng: np.random.Generator, size: int) -> Floats:
    """Picture (size, size, 3) in 0..1, much softer than the face."""
    tint = rng.uniform(0.05, 0.85) * (1 + rng.normal(0, 0.13, 3))
    other = np.clip(tint + rng.normal(0, 0.18, 3), 0.02, 0.95)
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-0.5, 0.5, size)
    ramp = np.clip(0.5 + np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None], 0, 1)[..., None]
    picture = (tint + (other - tint) * ramp).astype(np.float32)
    for _ in range(int(rng.integers(0, 9))):
        _draw_shape(rng, picture)
    picture = cv2.GaussianBlur(picture, (0, 0), size * float(rng.uniform(0.008, 0.05)))
    cells = int(rng.integers(4, 24))
    mottle = cv2.resize(rng.normal(0, 1, (cells, cells, 1)), (size, size), interpolation=cv2.INTER_CUBIC)
    textured: Floats = np.clip(picture + mottle[..., None] * float(rng.uniform(0, 0.04)), 0, 1).astype(np.float32)
    return textured


def _draw_shape(rng: np.random.Generator, picture: Floats) -> None:
    size = len(picture)
    colour = [float(c) for c in np.clip(rng.uniform(0.03, 0.9) + rng.normal(0, 0.12, 3), 0, 1)]
    x, y = (int(v) for v in rng.uniform(0, size, 2))
    reach = int(size * rng.uniform(0.05, 0.35))
    match int(rng.integers(3)):
        case 0:
            cv2.circle(picture, (x, y), reach, colour, -1)
        case 1:
            cv2.rectangle(picture, (x, y), (x + reach, y + int(reach * rng.uniform(0.5, 3))), colour, -1)
        case _:
            end = (int(x + rng.uniform(-size, size)), int(y + rng.uniform(-size, size)))
            cv2.line(picture, (x, y), end, colour, max(2, reach // 4))
