"""Files of pictures as cameras and enemies store them."""

import io
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image

# The inverse of what the reader has to do, by Pillow's own names.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def lying(upright: Image.Image, orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    """A file that holds the picture turned, and says in its EXIF data how to turn it back."""
    turn, stream, exif = _STORED[orientation], io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    (upright if turn is None else upright.transpose(turn)).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing: a header bomb."""
    small = bytearray(cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1])
    small[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    small[29:33] = zlib.crc32(bytes(small[12:29])).to_bytes(4, "big")
    return bytes(small)
