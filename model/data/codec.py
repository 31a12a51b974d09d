"""Bytes to upright pixels, and the one pair of maps between picture coordinates and crop units."""

import io
import struct
from math import cos as cos_of
from math import isfinite, radians
from math import sin as sin_of
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from model.errors import DataContractError, ImageError
from model.schema import Box

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

BACKGROUND = 127
"""Grey level under transparent pixels."""

MAX_SIDE = 32_767
"""Longest side of a picture, also of one within the limit of pixels: a strip's crop would not fit into memory."""

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
FORMATS = tuple(dict.fromkeys(_MAGIC.values()))
"""Pillow's names of what `decode_image` reads."""
_JPEG_END = b"\xff\xd9"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF = b"Exif\x00\x00"
_BORDER_PX = 1.0
_EXIF_ORIENTATION = 0x0112
# What Pillow's parsers raise on damaged headers, streams and metadata.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error, OverflowError)


class Window(NamedTuple):
    """A square of the picture: centre and side in picture coordinates."""

    cx: float
    cy: float
    side: float


def decode_image(content: bytes, *, max_pixels: int) -> Pixels:
    """Pixels of a JPEG, PNG, WebP, BMP or GIF file, told by its first bytes, HWC uint8 RGB.

    EXIF orientations 1 to 8 are undone. 16-bit samples keep their high byte. CMYK becomes RGB by the plain formula and
    ICC profiles are ignored. Transparency is laid on grey `BACKGROUND`. Grey is repeated into three channels. Of an
    animation the first frame counts. The size is read from the header before anything is decoded; bytes behind the
    picture are ignored.

    Raises:
        ImageError: `not_an_image` (another format, or nothing), `image_too_large` (more than `max_pixels`),
            `truncated_image` (a known format, cut off or damaged).
    """
    kind = _format(content)
    _check_webp_canvas(content, max_pixels)
    try:
        with Image.open(io.BytesIO(content), formats=(kind,)) as image:
            _check_size(*image.size, max_pixels)
            image.load()
            pixels = _to_rgb(image)
            orientation = _orientation(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            "image_too_large", f"picture beyond all limits (at most {max_pixels} pixels): {error}"
        ) from error
    except ImageError:
        raise
    except (UnidentifiedImageError, *_DAMAGED) as error:
        raise ImageError("truncated_image", f"picture is cut off or damaged: {error}; send the whole file") from error
    return _upright(pixels, orientation)


def decode_known(content: bytes, *, max_pixels: int) -> Pixels:
    """What `decode_image` gives, several times as fast, for bytes that it has decoded before.

    OpenCV gives the same pixels of a plain JPEG or lossy WebP, but passes over damage; all else goes the usual way.

    Raises:
        ImageError: as `decode_image`.
    """
    if _is_plain(content):
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if pixels is not None and pixels.shape[0] * pixels.shape[1] <= max_pixels:
            return np.asarray(pixels, dtype=np.uint8)
    return decode_image(content, max_pixels=max_pixels)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = box_area(first) + box_area(second) - shared
    return shared / union if union > 0 else 0.0


def box_area(box: Box) -> float:
    """Width times height."""
    return (box[2] - box[0]) * (box[3] - box[1])


def tight_box(points_K2: ArrayLike) -> Box:
    """Smallest upright box around the points: the only meaning of `box` anywhere.

    Raises:
        DataContractError: no point, or a coordinate that is not finite.
    """
    points = np.asarray(points_K2, dtype=np.float64).reshape(-1, 2)
    if len(points) == 0 or not np.isfinite(points).all():
        raise DataContractError("box of points: need at least one point, all finite; drop the record in `index`")
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def is_face_crop(box: Box, width: int, height: int) -> bool:
    """Whether the box lies within 1 px of the picture's border on all four sides: the picture is the face crop.

    The border is the outermost pixel centre or the edge of the picture: (0, 0, w, h) and (0, 0, w-1, h-1) both count.
    """
    x0, y0, x1, y1 = box
    return max(abs(x0), abs(y0), abs(x1 - (width - 1)), abs(y1 - (height - 1))) <= _BORDER_PX


def face_window(box: Box, width: int, height: int, crop_scale: float) -> Window:
    """Square that is cut for a face.

    `crop_scale` times the longer side of the box, around the centre of the box; the whole picture, with its longer
    side, where `is_face_crop` holds. The square may reach over the picture's border.

    Raises:
        DataContractError: a box that is not finite or has no extent.
    """
    if is_face_crop(box, width, height):
        return Window((width - 1) / 2, (height - 1) / 2, float(max(width, height)))
    x0, y0, x1, y1 = box
    longer = max(x1 - x0, y1 - y0)
    if not all(map(isfinite, box)) or longer <= 0 or x1 < x0 or y1 < y0:
        raise DataContractError(f"box {box}: need finite x0 <= x1, y0 <= y1 with some extent, in pixels of the picture")
    return Window((x0 + x1) / 2, (y0 + y1) / 2, crop_scale * longer)


def crop_matrix(
    window: Window,
    *,
    rotation: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
) -> Floats:
    """Affine map (2, 3) from picture coordinates to crop units of the window.

    In the crop the face is turned by `rotation` degrees (clockwise as seen) and enlarged by `scale` about the centre,
    moved by `shift` crop units, and last mirrored, which is u -> 1 - u exactly.
    """
    angle = radians(rotation)
    cos, sin = scale * cos_of(angle) / window.side, scale * sin_of(angle) / window.side
    x_row = [cos, -sin, 0.5 + shift[0] - (cos * window.cx - sin * window.cy)]
    y_row = [sin, cos, 0.5 + shift[1] - (sin * window.cx + cos * window.cy)]
    if flip:
        x_row = [-x_row[0], -x_row[1], 1.0 - x_row[2]]
    return np.array([x_row, y_row])


def encode_points(points_K2: ArrayLike, matrix: Floats) -> Floats:
    """Picture coordinates (..., 2) to crop units, by the matrix of `crop_matrix`."""
    points: Floats = np.asarray(points_K2, dtype=np.float64)
    encoded: Floats = points @ matrix[:, :2].T + matrix[:, 2]
    return encoded


def decode_points(unit_K2: ArrayLike, matrix: Floats) -> Floats:
    """Crop units (..., 2) back to picture coordinates: the inverse of `encode_points` with the same matrix."""
    points = np.asarray(unit_K2, dtype=np.float64) - matrix[:, 2]
    decoded: Floats = points @ np.linalg.inv(matrix[:, :2]).T
    return decoded


def _format(content: bytes) -> str:
    for magic, name in _MAGIC.items():
        if content.startswith(magic) and (name != "WEBP" or content[8:12] == b"WEBP"):
            return name
    found = f"starts with {content[:8]!r}" if content else "is empty"
    raise ImageError("not_an_image", f"file {found}; need JPEG, PNG, WebP, BMP or GIF")


def _is_plain(content: bytes) -> bool:
    """Lossy WebP without further chunks; a whole JPEG in grey or colour that names no orientation."""
    if content[8:16] == b"WEBPVP8 ":
        return content.startswith(b"RIFF")
    return content.endswith(_JPEG_END) and _EXIF not in content and _jpeg_components(content) in (1, 3)


def _jpeg_components(content: bytes) -> int:
    """Colour components as the frame header says; 0 where none is found."""
    place = 2
    while content.startswith(b"\xff\xd8") and place + 10 <= len(content) and content[place] == 0xFF:
        if content[place + 1] in _JPEG_FRAMES:
            return content[place + 9]
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return 0


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise ImageError(
            "image_too_large",
            f"picture of {width}x{height} pixels, at most {max_pixels} and {MAX_SIDE} a side; reduce it first",
        )


def _check_webp_canvas(content: bytes, max_pixels: int) -> None:
    """Pillow allocates the canvas of a WebP while it opens it, so the header is read here first."""
    if content[8:16] == b"WEBPVP8X" and len(content) >= 30:
        width = 1 + int.from_bytes(content[24:27], "little")
        height = 1 + int.from_bytes(content[27:30], "little")
    elif content[8:16] == b"WEBPVP8 " and len(content) >= 30:
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", content[26:30]))
    elif content[8:16] == b"WEBPVP8L" and len(content) >= 25:
        bits = int.from_bytes(content[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        return
    _check_size(width, height, max_pixels)


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        # 16-bit grey; convert() would clip it instead of scaling.
        grey = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colour = image.convert("RGBA")
        ground = Image.new("RGBA", colour.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        image = Image.alpha_composite(ground, colour)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    match orientation:
        case 2:
            turned = pixels[:, ::-1]
        case 3:
            turned = pixels[::-1, ::-1]
        case 4:
            turned = pixels[::-1]
        case 5:
            turned = pixels.transpose(1, 0, 2)
        case 6:
            turned = pixels[::-1].transpose(1, 0, 2)
        case 7:
            turned = pixels[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            turned = pixels[:, ::-1].transpose(1, 0, 2)
        case _:
            turned = pixels
    return np.ascontiguousarray(turned)
