"""What can happen to a face before the network sees it: pure changes of a picture and of the box that names the face.

Lengths are in shares of the longer side of the tight box of the 68 points, so that large and small faces are changed
alike. Strength 0 changes nothing, and equal generators give equal pictures.
"""

import io
from collections.abc import Callable
from math import cos, pi, sin, sqrt
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from model.data.codec import Pixels
from model.schema import Box

GAMMA = 2.2
SHOT_NOISE = 0.002
"""Variance of the light counted, over the light and the stops of amplification."""
READ_NOISE = 0.004
"""Deviation of what the sensor adds, in shares of the full range a stop of amplification."""


class Scene(NamedTuple):
    """A picture (HWC uint8 RGB) and the tight box of one face in it."""

    image_HWC: Pixels
    box: Box


Change = Callable[[Scene, float, np.random.Generator], Scene]


class Condition(NamedTuple):
    """One row of the table: how a face is changed, by how much, in words."""

    name: str
    change: str
    strength: float


def perturb(scene: Scene, condition: Condition, generator: np.random.Generator) -> Scene:
    """The scene under a condition; at strength 0 it is the scene itself."""
    return CHANGES[condition.change](scene, condition.strength, generator) if condition.strength else scene


def side_of(box: Box) -> float:
    """The longer side, in pixels."""
    return max(box[2] - box[0], box[3] - box[1])


def blur(scene: Scene, sigma: float, _: np.random.Generator) -> Scene:
    """A Gaussian of `sigma` sides of the face."""
    image = cv2.GaussianBlur(scene.image_HWC, (0, 0), sigma * side_of(scene.box), borderType=cv2.BORDER_REPLICATE)
    return scene._replace(image_HWC=_pixels(image))


def darken(scene: Scene, stops: float, generator: np.random.Generator) -> Scene:
    """Light halved `stops` times, as a sensor sees it: noise of the light that is left, and of the amplifier."""
    light = (scene.image_HWC / 255.0) ** GAMMA / 2**stops
    deviation = np.sqrt(SHOT_NOISE * stops * light + (READ_NOISE * stops / 2**stops) ** 2)
    seen = np.clip(light + deviation * generator.standard_normal(light.shape), 0.0, 1.0)
    return scene._replace(image_HWC=_pixels(255.0 * seen ** (1 / GAMMA)))


def fade(scene: Scene, share: float, _: np.random.Generator) -> Scene:
    """Colour mixed with its grey value; nothing but grey at 1."""
    grey = cv2.cvtColor(cv2.cvtColor(scene.image_HWC, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return scene._replace(image_HWC=_pixels((1 - share) * scene.image_HWC + share * grey))


def compress(scene: Scene, loss: float, _: np.random.Generator) -> Scene:
    """Written as JPEG of quality 100 - `loss`, and read again."""
    stream = io.BytesIO()
    Image.fromarray(scene.image_HWC).save(stream, "JPEG", quality=round(100 - loss))
    return scene._replace(image_HWC=_pixels(Image.open(stream)))


def coarsen(scene: Scene, pixels: float, _: np.random.Generator) -> Scene:
    """Reduced until the face has `pixels`, and enlarged again; a face that has no more stays as it is."""
    height, width = scene.image_HWC.shape[:2]
    share = pixels / side_of(scene.box)
    if share >= 1:
        return scene
    size = max(1, round(width * share)), max(1, round(height * share))
    small = cv2.resize(scene.image_HWC, size, interpolation=cv2.INTER_AREA)
    return scene._replace(image_HWC=_pixels(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)))


def shift_box(scene: Scene, share: float, generator: np.random.Generator) -> Scene:
    """The box moved by `share` of the face's side in a random direction."""
    x0, y0, x1, y1 = scene.box
    angle = generator.uniform(0, 2 * pi)
    right, down = (share * side_of(scene.box) * way for way in (cos(angle), sin(angle)))
    return scene._replace(box=(x0 + right, y0 + down, x1 + right, y1 + down))


def scale_box(scene: Scene, growth: float, _: np.random.Generator) -> Scene:
    """The box enlarged by 1 + `growth` about its centre."""
    x0, y0, x1, y1 = scene.box
    x, y = growth * (x1 - x0) / 2, growth * (y1 - y0) / 2
    return scene._replace(box=(x0 - x, y0 - y, x1 + x, y1 + y))


def cover(scene: Scene, share: float, generator: np.random.Generator) -> Scene:
    """A square of one colour over `share` of the box's area, at a random place inside the box."""
    x0, y0, x1, y1 = scene.box
    side = sqrt(share * (x1 - x0) * (y1 - y0))
    left, top = (low + generator.uniform() * max(0.0, high - low - side) for low, high in ((x0, x1), (y0, y1)))
    colour = generator.integers(0, 256, 3, dtype=np.uint8)
    rows, columns = (slice(max(0, round(start)), max(0, round(start + side))) for start in (top, left))
    image = scene.image_HWC.copy()
    image[rows, columns] = colour
    return scene._replace(image_HWC=image)


def _pixels(values: object) -> Pixels:
    return np.clip(np.round(np.asarray(values, dtype=np.float64)), 0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "blur": blur,
    "darken": darken,
    "fade": fade,
    "compress": compress,
    "coarsen": coarsen,
    "shift_box": shift_box,
    "scale_box": scale_box,
    "cover": cover,
}

CONDITIONS = (
    Condition("as it is", "blur", 0),
    Condition("blur, sigma 2 % of the face", "blur", 0.02),
    Condition("blur, sigma 4 % of the face", "blur", 0.04),
    Condition("low light, 2 stops", "darken", 2),
    Condition("low light, 4 stops", "darken", 4),
    Condition("grey", "fade", 1),
    Condition("JPEG quality 20", "compress", 80),
    Condition("face of 24 pixels", "coarsen", 24),
    Condition("face of 16 pixels", "coarsen", 16),
    Condition("box shifted by 5 %", "shift_box", 0.05),
    Condition("box shifted by 10 %", "shift_box", 0.1),
    Condition("box x 0.9", "scale_box", -0.1),
    Condition("box x 1.1", "scale_box", 0.1),
    Condition("box x 1.2", "scale_box", 0.2),
    Condition("20 % of the face covered", "cover", 0.2),
)
