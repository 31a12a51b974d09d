"""From a clean render to a stored picture: blur, noise, tone, grey, and a webp of a bounded size."""

import io

import cv2
import numpy as np
from PIL import Image

from benchmarks.sample.schema import Floats, Picture

TAR_BLOCK = 512
_QUALITIES = (92, 85, 78, 70, 62, 54, 46, 38, 30, 24, 18)


def develop(rng: np.random.Generator, picture: Floats, *, rough: bool, grey: bool) -> Picture:
    """Camera faults on an RGB picture in 0..1; `rough` asks for those of a small, poor camera."""
    blur = rng.gamma(2.0, 0.16 if rough else 0.12)
    picture = cv2.GaussianBlur(picture, (0, 0), max(0.05, float(blur)))
    if rng.random() < (0.06 if rough else 0.03):
        picture = _motion(rng, picture)
    gain = np.exp(np.clip(rng.normal(0, 0.13), -0.35, 0.3)) * (1 + rng.normal(0, 0.03, 3))
    picture = np.clip(picture, 0, 1) ** float(np.exp(rng.normal(0, 0.12))) * gain
    noise = rng.gamma(2.0, 0.010 if rough else 0.004)
    picture = picture + rng.normal(0, 1, picture.shape) * noise * np.sqrt(np.clip(picture, 0.05, 1))
    if grey:
        picture = np.repeat(picture @ np.asarray([[0.299], [0.587], [0.114]]), 3, axis=2)
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _motion(rng: np.random.Generator, picture: Floats) -> Floats:
    angle, length = rng.uniform(0, np.pi), rng.uniform(1.5, 3.5)
    kernel = np.zeros((7, 7), np.float32)
    for step in np.linspace(-length / 2, length / 2, 15):
        kernel[round(3 + step * np.sin(angle)), round(3 + step * np.cos(angle))] += 1
    moved: Floats = cv2.filter2D(picture, -1, kernel / kernel.sum())
    return moved


def encode(picture: Picture, blocks: int) -> bytes:
    """Best webp quality that fits `blocks` tar blocks of 512 bytes; the lowest quality where none does.

    A tar pads each member to whole blocks, so smaller pictures would save nothing.
    """
    for quality in _QUALITIES:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "WEBP", quality=quality, method=6)
        if stream.tell() <= blocks * TAR_BLOCK:
            break
    return stream.getvalue()
