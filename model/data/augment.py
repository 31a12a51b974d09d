"""Random change of training faces: one warp for all geometry, then light and sharpness on the small crop."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from model.config import AugmentConfig
from model.data.codec import Floats, Pixels, crop_matrix, face_window
from model.data.transforms import warp
from model.schema import Box

_LEVELS = np.arange(256, dtype=np.float32)
_BLUR_SIGMA = (0.005, 0.025)
"""Range of the blur in shares of the crop: 0.3 to 1.6 px at 64."""
_NOISE_SIGMA = (2.0, 16.0)
"""Range of the noise in grey levels."""
_PAIR_DEVIATION = 104.5
"""Standard deviation of the sum of two uniform bytes."""
_LOW_RESOLUTION = (0.25, 0.8)
"""Range of the side of the coarse crop over the side of the crop."""
_ERASED_SIDE = (0.1, 0.4)
"""Range of either side of the erased rectangle over the side of the crop."""


class Change(NamedTuple):
    """Geometry of one draw: degrees, magnification, crop units, mirrored or not; see `codec.crop_matrix`."""

    rotation: float
    scale: float
    shift: tuple[float, float]
    flip: bool


def draw_change(config: AugmentConfig, generator: np.random.Generator) -> Change:
    """Rotation, log-magnification and shift, each uniform within plus and minus its range; flip by its probability.

    The magnification stays within 1 / (1 + `scale`) and 1 + `scale`.
    """
    turn, grow, right, down = (2.0 * share - 1.0 for share in generator.random(4).tolist())
    return Change(
        rotation=config.rotation * turn,
        scale=(1.0 + config.scale) ** grow,
        shift=(config.shift * right, config.shift * down),
        flip=bool(generator.random() < config.flip),
    )


def augment(
    image_HWC: Pixels,
    box: Box,
    config: AugmentConfig,
    generator: np.random.Generator,
    *,
    size: int,
    crop_scale: float,
) -> tuple[Pixels, Floats, bool]:
    """A varied crop of a face; with all ranges at zero it equals `crop_face` but for a random draw.

    Returns:
        The crop (size, size, 3), its matrix from picture coordinates to crop units, and whether it is mirrored, in
        which case the caller renames left and right (`schema.FLIP_68`, `schema.FLIP_19`).
    """
    change = draw_change(config, generator)
    height, width = image_HWC.shape[:2]
    window = face_window(box, width, height, crop_scale)
    matrix = crop_matrix(window, **change._asdict())
    return vary_pixels(warp(image_HWC, matrix, size), config, generator), matrix, change.flip


def vary_pixels(crop_HWC: Pixels, config: AugmentConfig, generator: np.random.Generator) -> Pixels:
    """Change of light and sharpness, in the order a camera meets them; the input is left as it is.

    Occlusion (`erase`), blur and low resolution by their probabilities; then brightness (plus or minus that share of
    the full range) and contrast (about the mean, by 1 plus or minus that share) always; grey and noise by their
    probabilities. Each use of the generator is the same whatever was drawn, except for the fields of noise and colour.
    """
    chance = generator.random(5).tolist()
    amount = generator.random(8).tolist()
    crop = crop_HWC
    if chance[0] < config.erase:
        crop = _erase(crop, amount[0:4], generator)
    if chance[1] < config.blur:
        crop = _blur(crop, _between(_BLUR_SIGMA, amount[4]))
    if chance[2] < config.low_resolution:
        crop = _coarsen(crop, _between(_LOW_RESOLUTION, amount[5]))
    if config.brightness or config.contrast:
        brightness, contrast = config.brightness * (2 * amount[6] - 1), 1 + config.contrast * (2 * amount[7] - 1)
        crop = _tone(crop, brightness, contrast)
    if chance[3] < config.grey:
        crop = np.asarray(cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    if chance[4] < config.noise:
        crop = _noise(crop, _between(_NOISE_SIGMA, generator.random()), generator)
    return crop


def _between(limits: tuple[float, float], share: float) -> float:
    low, high = limits
    return low + (high - low) * share


def _erase(crop_HWC: Pixels, amount: Sequence[float], generator: np.random.Generator) -> Pixels:
    size = crop_HWC.shape[0]
    width, height = (max(1, round(size * _between(_ERASED_SIDE, share))) for share in amount[:2])
    left, top = int(amount[2] * (size - width + 1)), int(amount[3] * (size - height + 1))
    erased = crop_HWC.copy()
    erased[top : top + height, left : left + width] = generator.integers(0, 256, 3, dtype=np.uint8)
    return erased


def _blur(crop_HWC: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(crop_HWC, (0, 0), sigma * crop_HWC.shape[0]), dtype=np.uint8)


def _coarsen(crop_HWC: Pixels, share: float) -> Pixels:
    size = crop_HWC.shape[0]
    coarse = max(1, round(size * share))
    small = cv2.resize(crop_HWC, (coarse, coarse), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _tone(crop_HWC: Pixels, brightness: float, contrast: float) -> Pixels:
    mean = sum(cv2.mean(crop_HWC)[:3]) / 3
    table = (_LEVELS - mean) * contrast + mean + 255 * brightness
    return np.asarray(cv2.LUT(crop_HWC, np.clip(table + 0.5, 0, 255).astype(np.uint8)), dtype=np.uint8)


def _noise(crop_HWC: Pixels, sigma: float, generator: np.random.Generator) -> Pixels:
    """Triangular noise: two uniform draws cost a quarter of a normal one, at the same deviation."""
    first, second = generator.integers(0, 256, (2, *crop_HWC.shape), dtype=np.uint8)
    field = (first.astype(np.int16) + second - 255) * np.float32(sigma / _PAIR_DEVIATION)
    noisy: Pixels = np.clip(crop_HWC + field + np.float32(0.5), 0, 255).astype(np.uint8)
    return noisy
