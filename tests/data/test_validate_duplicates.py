"""Perceptual hashes and their confirmation."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.data.codec import decode_image
from model.data.validate.duplicates import fingerprint, near_duplicates
from tests.data.layouts import encoded, texture

Picture = NDArray[np.uint8]


def pairs(pictures: list[Picture], bits: int = 4) -> set[tuple[int, int, bool]]:
    prints = [fingerprint(picture) for picture in pictures]
    found = near_duplicates(prints, np.arange(len(prints)), bits=bits, correlation=0.9)
    return {(one, other, mirrored) for one, other, _, mirrored in found}


def recompressed(picture: Picture) -> Picture:
    return decode_image(encoded(picture, quality=40), max_pixels=10**6)


def smaller(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, (40, 40), interpolation=cv2.INTER_AREA))


def darker(picture: Picture) -> Picture:
    return (picture * 0.6).astype(np.uint8)


def test_mirror_hash_is_the_hash_of_the_mirror_image() -> None:
    """T06."""
    picture = texture(3)
    assert fingerprint(picture).mirrored == fingerprint(picture[:, ::-1].copy()).plain


@pytest.mark.parametrize("changed", [recompressed, smaller, darker])
def test_changed_copies_are_found_mirrored_or_not(changed: object) -> None:
    """T04, T06: 20 planted copies among 60 strangers, all found, nothing else."""
    assert callable(changed)
    pictures = [texture(seed) for seed in range(60)]
    copies = [changed(texture(seed) if seed % 2 else texture(seed)[:, ::-1].copy()) for seed in range(20)]
    assert pairs([*pictures, *copies]) == {(seed, 60 + seed, seed % 2 == 0) for seed in range(20)}


def test_flat_pictures_resemble_nothing() -> None:
    assert pairs([np.full((48, 48, 3), level, np.uint8) for level in (0, 0, 90, 255)]) == set()


@pytest.mark.parametrize("bits", [0, 4, 8])
def test_bands_find_what_comparing_all_pairs_finds(bits: int) -> None:
    """Oracle: the distance of every pair."""
    rng = np.random.default_rng(0)
    pictures = [texture(seed) for seed in range(12)]
    pictures += [np.clip(p + rng.normal(0, 30, p.shape), 0, 255).astype(np.uint8) for p in pictures * 3]
    hashes = [fingerprint(picture).plain for picture in pictures]
    near = {(i, j) for j in range(len(hashes)) for i in range(j) if (hashes[i] ^ hashes[j]).bit_count() <= bits}
    prints = [fingerprint(picture) for picture in pictures]
    found = near_duplicates(prints, np.arange(len(prints)), bits=bits, correlation=-1.0)
    assert {(i, j) for i, j, _, mirrored in found if not mirrored} == near


def test_no_pictures_give_no_pairs() -> None:
    assert near_duplicates([], np.arange(0), bits=4, correlation=0.9) == []
