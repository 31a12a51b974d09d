"""How much work one request may ask in sum, however it spreads it over pictures and boxes."""

import io
import struct
from collections.abc import Sequence

from PIL import Image

from model.data.codec import FORMATS, Pixels, Window, decode_image
from model.errors import ImageError
from model.serving.schema import RequestError

TIMES_ONE_PICTURE = 4
"""What a request may ask in all, over what one picture of it may: seconds of a slow core, far from a timeout."""

# What Pillow raises on damaged headers.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, struct.error)


class Allowance:
    """What is left of the pixels and faces of one request.

    A picture takes its pixels, and each face those of the picture that its crop is made of.

    Args:
        max_pixels: of one picture.
        max_faces: of one picture.
    """

    def __init__(self, *, max_pixels: int, max_faces: int) -> None:
        self._largest = max_pixels
        self._all_pixels = self._pixels = TIMES_ONE_PICTURE * max_pixels
        self._all_faces = self._faces = TIMES_ONE_PICTURE * max_faces

    def decode(self, content: bytes) -> Pixels:
        """The upright picture; a damaged one takes its pixels too, as it was decoded up to the damage.

        Raises:
            ImageError: as `decode_image`; `image_too_large` also where the request has not so many pixels left.
        """
        limit = min(self._largest, self._pixels)
        try:
            image = decode_image(content, max_pixels=limit)
        except ImageError as error:
            if error.code == "truncated_image":
                self._pixels -= min(limit, _claimed_pixels(content))
            if error.code == "image_too_large" and limit < self._largest:
                raise ImageError(error.code, f"{error}; {self._rest()}, send fewer pictures at once") from error
            raise
        self._pixels -= image.shape[0] * image.shape[1]
        return image

    def take_faces(self, image_HWC: Pixels, windows: Sequence[Window]) -> None:
        """Count the faces of a picture, before any is cut.

        Raises:
            RequestError: `bad_request`: more faces, or larger ones, than the request has left; they are not counted.
        """
        pixels = sum(_covered(image_HWC, window) for window in windows)
        if len(windows) > self._faces:
            message = f"{len(windows)} faces, but {self._faces} are left of the {self._all_faces} of one request"
            raise RequestError("bad_request", f"{message}; send fewer pictures or boxes at once")
        if pixels > self._pixels:
            message = f"the boxes cover {pixels} pixels of the picture in all; {self._rest()}"
            raise RequestError("bad_request", f"{message}, send smaller boxes, or fewer at once")
        self._faces -= len(windows)
        self._pixels -= pixels

    def _rest(self) -> str:
        return f"{self._pixels} are left of the {self._all_pixels} of one request"


def _covered(image_HWC: Pixels, window: Window) -> int:
    """Pixels of the picture inside a window."""
    height, width = image_HWC.shape[:2]
    reach = window.side / 2
    across = min(window.cx + reach, width) - max(window.cx - reach, 0)
    down = min(window.cy + reach, height) - max(window.cy - reach, 0)
    return int(max(across, 0) * max(down, 0))


def _claimed_pixels(content: bytes) -> int:
    """Pixels by the header of a picture that `decode_image` found small enough to open; 0 where that is damaged too."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.width * image.height
    except _DAMAGED:
        return 0
