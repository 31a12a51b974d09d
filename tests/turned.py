"""Pictures stored as a camera does that was held otherwise."""

import io
from typing import Any

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
