"""Pictures that are the same to the eye: perceptual hashes, blind to mirroring, confirmed on thumbnails."""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]

_SIDE = 32
_KEPT = 8
_THUMB = 16
_MIN_SPREAD = 2.0
_COSINES = np.cos(np.pi * np.outer(np.arange(_KEPT), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_MIRROR_SIGNS = np.where(np.arange(_KEPT) % 2, -1.0, 1.0)
_CANDIDATES_AT_ONCE = 2_000_000


class Fingerprint(NamedTuple):
    """Hash of a picture, hash of its mirror image, and a grey thumbnail of 16 x 16."""

    plain: int
    mirrored: int
    thumb_HW: NDArray[np.uint8]


def fingerprint(image_HWC: NDArray[np.uint8]) -> Fingerprint:
    """The 64-bit perceptual hash: signs of the 8 x 8 lowest cosine terms of 32 x 32 grey pixels about their median.

    Mirroring turns the sign of every odd horizontal term, so the mirror image needs no second transform.
    """
    grey = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    terms = _COSINES @ small.astype(np.float64) @ _COSINES.T
    thumb = cv2.resize(small, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return Fingerprint(_hash(terms), _hash(terms * _MIRROR_SIGNS), np.asarray(thumb, dtype=np.uint8))


def near_duplicates(
    prints: list[Fingerprint], queries_Q: NDArray[np.int64], *, bits: int, correlation: float
) -> list[tuple[int, int, float, bool]]:
    """Pairs (query, other, correlation, mirrored) of pictures that are near duplicates, each pair once.

    `queries_Q` are the positions compared with all; the cost grows linearly as long as hashes differ. Pictures of
    almost one grey level have no meaningful hash and take no part.
    """
    if not prints:
        return []
    plain = np.array([print_.plain for print_ in prints], dtype=np.uint64)
    mirrored = np.array([print_.mirrored for print_ in prints], dtype=np.uint64)
    thumbs_NHW = np.stack([print_.thumb_HW for print_ in prints])
    textured = np.nonzero(thumbs_NHW.std(axis=(1, 2)) >= _MIN_SPREAD)[0]
    queries = np.intersect1d(queries_Q, textured)
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    for turned, hashes in ((False, plain), (True, mirrored)):
        for query, position in _close(hashes[queries], plain[textured], bits).tolist():
            one, other = int(queries[query]), int(textured[position])
            thumb_HW = thumbs_NHW[one, :, ::-1] if turned else thumbs_NHW[one]
            score = _correlation(thumb_HW, thumbs_NHW[other])
            key = (min(one, other), max(one, other))
            if one != other and score >= correlation and score > found.get(key, (-1.0, False))[0]:
                found[key] = (score, turned)
    return [(*pair, *how) for pair, how in sorted(found.items())]


def _close(queries_Q: Hashes, hashes_N: Hashes, bits: int) -> Pairs:
    """Positions (P, 2) of hashes at most `bits` apart.

    Of `bits + 1` bands of a hash at least one is untouched by `bits` changes, so only equal bands are compared.
    """
    edges = np.linspace(0, 64, bits + 2).astype(int)
    found = [np.empty((0, 2), dtype=np.int64)]
    for low, high in pairwise(edges):
        mask = np.uint64((1 << int(high - low)) - 1)
        keys = (hashes_N >> np.uint64(low)) & mask
        order = np.argsort(keys, kind="stable")
        wanted = (queries_Q >> np.uint64(low)) & mask
        first, last = (np.searchsorted(keys[order], wanted, side=side) for side in ("left", "right"))
        for part in _portions(last - first):
            lengths = (last - first)[part]
            query = np.repeat(np.arange(part.start, part.stop), lengths)
            offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            other = order[np.repeat(first[part], lengths) + offset]
            near = np.bitwise_count(queries_Q[query] ^ hashes_N[other]) <= bits
            found.append(np.column_stack([query[near], other[near]]))
    return np.unique(np.concatenate(found), axis=0)


def _portions(lengths: NDArray[np.int64]) -> list[slice]:
    """Consecutive queries whose candidates fit into memory."""
    portion = np.cumsum(lengths) // _CANDIDATES_AT_ONCE
    starts = [0, *(np.nonzero(np.diff(portion))[0] + 1).tolist(), len(lengths)]
    return [slice(start, stop) for start, stop in pairwise(starts) if stop > start]


def _hash(terms: NDArray[np.float64]) -> int:
    flat = terms.ravel()
    # The first term is the mean brightness; it takes no part in the median of the other 63.
    median = np.partition(flat[1:], len(flat) // 2 - 1)[len(flat) // 2 - 1]
    return int.from_bytes(np.packbits(flat > median).tobytes())


def _correlation(one_HW: NDArray[np.uint8], other_HW: NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one_HW.ravel(), other_HW.ravel())[0, 1])
