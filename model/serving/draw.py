"""Faces drawn into their picture."""

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from model.data.codec import Pixels, decode_image
from model.schema import CONTOURS, REGIONS
from model.serving.predictor import MAX_PIXELS

MIN_SIDE = 640
MAX_SIDE = 1600


_COLOURS = {
    "jaw": (80, 200, 255),
    "right_brow": (255, 200, 60),
    "left_brow": (255, 200, 60),
    "nose": (180, 235, 120),
    "right_eye": (120, 220, 255),
    "left_eye": (120, 220, 255),
    "mouth": (255, 120, 150),
}
_BOX_COLOUR = (255, 255, 255)
_FRACTION_BITS = 4


def draw_faces(content: bytes, faces: Iterable[dict[str, Any]]) -> bytes:
    """PNG of the upright picture with box, points and the top apparent expression of each face.

    Small pictures are enlarged and large ones reduced, so that points stay apart and files small.

    Raises:
        ImageError: the bytes are no picture.
    """
    image = decode_image(content, max_pixels=MAX_PIXELS)
    longer = max(image.shape[:2])
    scale = min(max(1.0, MIN_SIDE / longer), MAX_SIDE / longer)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas: Pixels = np.asarray(cv2.resize(image, size, interpolation=way), dtype=np.uint8)
    for face in faces:
        _draw_face(canvas, face, scale)
    return bytes(cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1])


def _draw_face(canvas: Pixels, face: dict[str, Any], scale: float) -> None:
    # Pixel centres: the middle of picture pixel p lies at (p + 0.5) * scale - 0.5 of the canvas.
    points = (np.asarray(face["landmarks"]) + 0.5) * scale - 0.5
    x0, y0, x1, y1 = ((np.asarray(face["box"]) + 0.5) * scale - 0.5).tolist()
    width = max(1, round(max(x1 - x0, y1 - y0) / 160))
    _outline(canvas, np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), True, _BOX_COLOUR, width)
    for start, stop, closed in CONTOURS:
        _outline(canvas, points[start:stop], closed, _colour(start), width)
    for number, point in enumerate(points):
        centre = tuple(int(v) for v in np.round(point * 2**_FRACTION_BITS))
        radius = int(1.6 * width * 2**_FRACTION_BITS)
        cv2.circle(canvas, centre, radius, _colour(number), -1, cv2.LINE_AA, _FRACTION_BITS)
    name, share = max(face["expression"].items(), key=lambda item: item[1])
    _label(canvas, f"{name} {100 * share:.0f}%", (x0, y0), max(0.45, (x1 - x0) / 320))


def _colour(number: int) -> tuple[int, int, int]:
    return next(_COLOURS[name] for name, part in REGIONS.items() if part.start <= number < part.stop)


def _outline(canvas: Pixels, points_N2: Any, closed: bool, colour: tuple[int, int, int], width: int) -> None:
    corners = np.round(np.asarray(points_N2) * 2**_FRACTION_BITS).astype(np.int32)
    cv2.polylines(canvas, [corners], closed, colour, width, cv2.LINE_AA, _FRACTION_BITS)


def _label(canvas: Pixels, text: str, corner: tuple[float, float], scale: float) -> None:
    """White text on a dark plate above the box, moved inside where the picture ends."""
    scale = min(scale, 1.2)
    thickness = max(1, round(1.4 * scale))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    pad = max(3, round(6 * scale))
    x = int(np.clip(corner[0], 0, max(0, canvas.shape[1] - width - 2 * pad)))
    y = int(np.clip(corner[1] - height - below - 2 * pad, 0, canvas.shape[0]))
    plate = canvas[y : y + height + below + 2 * pad, x : x + width + 2 * pad]
    plate[:] = (plate * 0.35).astype(np.uint8)
    origin = (x + pad, y + pad + height)
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA)
