"""Random change of training faces: one warp for all geometry, then light and sharpness on the small crop."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from model.config import AugmentConfig
from model.data.codec import Floats, Pixels, crop_matrix, face_window
from model.data.faces import Bools
from model.data.transforms import warp
from model.schema import Box

_BLUR_SIGMA = (0.005, 0.025)
"""Range of the blur in shares of the crop: 0.3 to 1.6 px at 64."""
_NOISE_SIGMA = (2.0, 16.0)
"""Range of the noise in grey levels."""
_PAIR_DEVIATION = 104.5
"""Standard deviation of the difference of two uniform bytes."""
_LOW_RESOLUTION = (0.25, 0.8)
"""Range of the side of the coarse crop over the side of the crop."""
_SEEDS = 2**53
"""Seeds of the noise: as many as there are doubles to draw in [0, 1)."""
_ERASED_SIDE = (0.1, 0.4)
"""Range of either side of the erased rectangle over the side of the crop."""


class Luck(NamedTuple):
    """What chance decides of one face, each uniform in [0, 1): whether a change is made, then how."""

    rotation: float
    scale: float
    right: float
    down: float
    flip: float
    erase: float
    erased_width: float
    erased_height: float
    erased_left: float
    erased_top: float
    red: float
    green: float
    blue: float
    blur: float
    blur_sigma: float
    low_resolution: float
    coarseness: float
    brightness: float
    contrast: float
    grey: float
    noise: float
    noise_sigma: float
    noise_seed: float


class Change(NamedTuple):
    """Geometry of one draw: degrees, magnification, crop units, mirrored or not; see `codec.crop_matrix`."""

    rotation: float
    scale: float
    shift: tuple[float, float]
    flip: bool


def draw_luck(generator: np.random.Generator, count: int) -> list[Luck]:
    """Independent draws for so many faces."""
    return [Luck._make(row) for row in generator.random((count, len(Luck._fields))).tolist()]


def change_of(config: AugmentConfig, luck: Luck) -> Change:
    """Rotation, log-magnification and shift, each uniform within plus and minus its range; flip by its probability.

    The magnification stays within 1 / (1 + `scale`) and 1 + `scale`.
    """
    return Change(
        rotation=config.rotation * (2 * luck.rotation - 1),
        scale=(1.0 + config.scale) ** (2 * luck.scale - 1),
        shift=(config.shift * (2 * luck.right - 1), config.shift * (2 * luck.down - 1)),
        flip=luck.flip < config.flip,
    )


def augment(
    images: Sequence[Pixels],
    boxes: Sequence[Box],
    config: AugmentConfig,
    lucks: Sequence[Luck],
    *,
    size: int,
    crop_scale: float,
) -> tuple[Pixels, Floats, Bools]:
    """Varied crops of faces; with all ranges at zero each equals `crop_face`.

    Returns:
        The crops (B, size, size, 3), their matrices (B, 2, 3) from picture coordinates to crop units, and which are
        mirrored; of those the caller renames left and right (`schema.FLIP_68`, `schema.FLIP_19`).
    """
    # In passes over all faces: code that the processor's caches hold runs faster than face by face.
    changes = [change_of(config, luck) for luck in lucks]
    matrices = [
        crop_matrix(face_window(box, image.shape[1], image.shape[0], crop_scale), **change._asdict())
        for image, box, change in zip(images, boxes, changes, strict=True)
    ]
    crops = [warp(image, matrix, size) for image, matrix in zip(images, matrices, strict=True)]
    varied = [vary_pixels(crop, config, luck) for crop, luck in zip(crops, lucks, strict=True)]
    return np.stack(varied), np.stack(matrices), np.array([change.flip for change in changes])


def vary_pixels(crop_HWC: Pixels, config: AugmentConfig, luck: Luck) -> Pixels:
    """Change of light and sharpness, in the order a camera meets them; the input is left as it is.

    Occlusion (`erase`), blur and low resolution by their probabilities; then brightness (plus or minus that share of
    the full range) and contrast (about the mean, by 1 plus or minus that share) always; grey and noise by their
    probabilities.
    """
    crop = crop_HWC
    if luck.erase < config.erase:
        crop = _erase(crop, luck)
    if luck.blur < config.blur:
        crop = _blur(crop, _between(_BLUR_SIGMA, luck.blur_sigma))
    if luck.low_resolution < config.low_resolution:
        crop = _coarsen(crop, _between(_LOW_RESOLUTION, luck.coarseness))
    if config.brightness or config.contrast:
        brightness, contrast = config.brightness * (2 * luck.brightness - 1), config.contrast * (2 * luck.contrast - 1)
        crop = _tone(crop, brightness, 1 + contrast)
    if luck.grey < config.grey:
        crop = np.asarray(cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    if luck.noise < config.noise:
        crop = _noise(crop, _between(_NOISE_SIGMA, luck.noise_sigma), luck.noise_seed)
    return crop


def _between(limits: tuple[float, float], share: float) -> float:
    low, high = limits
    return low + (high - low) * share


def _erase(crop_HWC: Pixels, luck: Luck) -> Pixels:
    size = crop_HWC.shape[0]
    width, height = (
        max(1, round(size * _between(_ERASED_SIDE, share))) for share in (luck.erased_width, luck.erased_height)
    )
    left, top = int(luck.erased_left * (size - width + 1)), int(luck.erased_top * (size - height + 1))
    erased = crop_HWC.copy()
    erased[top : top + height, left : left + width] = [int(256 * share) for share in (luck.red, luck.green, luck.blue)]
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
    # Of the crop alone; OpenCV's other call that scales and shifts takes absolute values.
    toned = cv2.addWeighted(crop_HWC, contrast, crop_HWC, 0.0, mean * (1 - contrast) + 255 * brightness)
    return np.asarray(toned, dtype=np.uint8)


def _noise(crop_HWC: Pixels, sigma: float, seed: float) -> Pixels:
    """Triangular noise, of the difference of two uniform bytes: a third of the time of a normal one."""
    words = np.random.default_rng(int(seed * _SEEDS)).integers(0, 2**64, -(-crop_HWC.size // 4), dtype=np.uint64)
    first, second = words.view(np.uint8)[: 2 * crop_HWC.size].reshape(2, *crop_HWC.shape)
    share = sigma / _PAIR_DEVIATION
    field = cv2.addWeighted(first, share, second, -share, 0.0, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(crop_HWC, field, dtype=cv2.CV_8U), dtype=np.uint8)
