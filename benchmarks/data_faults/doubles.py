"""Faces of training that are faces of validation or test again: the same bytes, changed pictures, the same person."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from benchmarks.data_faults.copies import Label
from model.data.codec import Pixels

Change = Callable[[Pixels], bytes]

EXACT, NEAR, GROUP = "exact_duplicates", "near_duplicates", "groups_apart"


@dataclass(frozen=True)
class Double:
    """A kind of copy; `change` makes its bytes from the pixels (None: the same bytes), or the face is `listed` again.

    `goal` says whether it must be found.
    """

    name: str
    test: str
    rule: str
    change: Change | None = None
    goal: bool = True
    listed: bool = False


def doubles() -> list[Double]:
    """Every kind."""
    changes: list[tuple[str, str, Change]] = [
        ("JPEG at 90", "T04", jpeg(90)),
        ("JPEG at 50", "T04", jpeg(50)),
        ("JPEG at 20", "T04", jpeg(20)),
        ("WebP at 30", "T04", lambda pixels: _encoded(pixels, "WEBP", 30)),
        ("half the size", "T04", lambda pixels: jpeg(90)(resized(pixels, 0.5))),
        ("half as large again", "T04", lambda pixels: jpeg(90)(resized(pixels, 1.5))),
        ("brightness x 0.6", "T04", lambda pixels: jpeg(90)(scaled(pixels, 0.6))),
        ("brightness x 1.3", "T04", lambda pixels: jpeg(90)(scaled(pixels, 1.3))),
        ("contrast x 0.6", "T04", lambda pixels: jpeg(90)(scaled(pixels, 0.6, about=pixels.mean()))),
        ("grey", "T04", lambda pixels: jpeg(90)(_grey(pixels))),
        ("mirrored", "T06", lambda pixels: png(pixels[:, ::-1])),
        ("mirrored, JPEG at 50", "T06", lambda pixels: jpeg(50)(pixels[:, ::-1])),
        ("mirrored, half the size", "T06", lambda pixels: jpeg(90)(resized(pixels[:, ::-1], 0.5))),
    ]
    beyond: list[tuple[str, str, Change]] = [
        ("2 % cut off each side", "T04", lambda pixels: jpeg(90)(_inner(pixels, 0.02))),
        ("5 % cut off each side", "T04", lambda pixels: jpeg(90)(_inner(pixels, 0.05))),
        ("turned by 3 degrees", "T04", lambda pixels: jpeg(90)(_turned(pixels, 3))),
    ]
    return [
        Double("the same bytes", "T04", EXACT),
        Double("one face listed twice", "T04", EXACT, listed=True),
        *(Double(name, test, NEAR, change) for name, test, change in changes),
        *(Double(name, test, NEAR, change, goal=False) for name, test, change in beyond),
    ]


def double_of(face: Label, image: str) -> Label:
    """A face of training whose picture is that of another split; its person is not known."""
    label = {"points": None, "expression": face["expression"] or "neutral", "box": None}
    return {**face, **label, "image": image, "split": "train", "subject": None}


def jpeg(quality: int) -> Change:
    """Encoding at a quality."""
    return lambda pixels: _encoded(pixels, "JPEG", quality)


def png(pixels: Pixels) -> bytes:
    """The pixels without loss."""
    return _encoded(pixels, "PNG")


def resized(pixels: Pixels, factor: float) -> Pixels:
    """The picture at another size."""
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=method), dtype=np.uint8)


def scaled(pixels: Pixels, factor: float, *, about: float = 0.0) -> Pixels:
    """Grey levels scaled about one of them."""
    return np.clip((pixels.astype(np.float64) - about) * factor + about, 0, 255).round().astype(np.uint8)


def _encoded(pixels: Pixels, kind: str, quality: int = 100) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=quality)
    return stream.getvalue()


def _grey(pixels: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)


def _inner(pixels: Pixels, share: float) -> Pixels:
    height, width = pixels.shape[:2]
    down, right = max(round(share * height), 1), max(round(share * width), 1)
    return pixels[down:-down, right:-right]


def _turned(pixels: Pixels, degrees: float) -> Pixels:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, dtype=np.uint8)
