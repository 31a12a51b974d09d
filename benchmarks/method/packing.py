"""Arrays as short text inside JSON: fixed width, zlib, base64."""

import base64
import zlib

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NME_UNIT = 1e-5
_WIDEST = np.iinfo(np.uint16).max


def pack_errors(errors_N: Array) -> str:
    """Fractions from 0 on, to the nearest 1e-5; beyond 0.65535, and for an infinite one, that bound."""
    units = np.rint(np.minimum(errors_N, _WIDEST * NME_UNIT) / NME_UNIT)
    return _pack(units.astype("<u2").tobytes())


def unpack_errors(text: str) -> Array:
    """Fractions packed by `pack_errors`."""
    return np.frombuffer(_unpack(text), "<u2").astype(np.float64) * NME_UNIT


def pack_classes(classes_N: npt.NDArray[np.integer]) -> str:
    """Class numbers from 0 to 255."""
    return _pack(classes_N.astype(np.uint8).tobytes())


def unpack_classes(text: str) -> Ints:
    """Class numbers packed by `pack_classes`."""
    return np.frombuffer(_unpack(text), np.uint8).astype(np.int64)


def pack_numbers(numbers_N: npt.NDArray[np.integer]) -> str:
    """Whole numbers from 0 to 65,535."""
    return _pack(numbers_N.astype("<u2").tobytes())


def unpack_numbers(text: str) -> Ints:
    """Whole numbers packed by `pack_numbers`."""
    return np.frombuffer(_unpack(text), "<u2").astype(np.int64)


def _pack(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
