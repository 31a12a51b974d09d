"""What an expression shows in: the shape of the points, and gradients of the face turned upright.

Each face gives a second row, that of its mirror image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from model.data.codec import Floats, Pixels
from model.data.transforms import crop_face, warp
from model.evaluation.answers import answer_faces, face_box, open_picture
from model.net.inference import FaceNet
from model.net.shape import shape_code
from model.schema import FLIP_68, LANDMARKS, FaceRecord

Rows = NDArray[np.float32]

_SIDE = 64
_CELL = 8
_BINS = 9
_MARGIN = 2.3
_CLIP = 0.2
_COMPONENTS = 150
_FITTED_ON = 5000
_BATCH = 64
_CROP_SCALE = 1.1
_MOST = 0.5


class View(NamedTuple):
    """One kind of features (N, D) and those of the mirror images, standardised."""

    name: str
    plain_ND: Rows
    mirrored_ND: Rows


def views_of(records: Sequence[FaceRecord], net: FaceNet | None, *, data: Path, seed: int) -> list[View]:
    """`texture`, `shape`, and `change`: how the shape differs from the mean shape of the person's faces.

    `change` is there where most faces have another one of their group. Without a network that finds points there is
    only the texture of the face crop.
    """
    points_NK2 = None if net is None else _points(records, net, data)
    grey_NHW = _upright(records, points_NK2, net, data)
    plain, mirrored = (np.concatenate(list(_gradients(faces))) for faces in (grey_NHW, grey_NHW[:, :, ::-1]))
    views = [_standardised("texture", *_reduced(plain, mirrored, seed))]
    if net is not None and points_NK2 is not None:
        turned_NK2 = points_NK2[:, FLIP_68] * np.array([-1.0, 1.0])
        mean = torch.as_tensor(np.asarray(net.meta.mean_shape), dtype=torch.float32)
        plain, mirrored = (
            shape_code(torch.as_tensor(points).float(), mean).numpy() for points in (points_NK2, turned_NK2)
        )
        views.append(_standardised("shape", plain, mirrored))
        _, group_N = np.unique([record.group or record.record_id for record in records], return_inverse=True)
        if (np.bincount(group_N)[group_N] > 1).mean() > _MOST:
            views.append(_standardised("change", *(rows - _means(rows, group_N) for rows in (plain, mirrored))))
    return views


def _means(rows_ND: Rows, group_N: NDArray[np.int64]) -> Rows:
    """For each row the mean over its group."""
    sums = np.zeros((group_N.max() + 1, rows_ND.shape[1]), dtype=np.float32)
    np.add.at(sums, group_N, rows_ND)
    means = sums / np.bincount(group_N)[:, None]
    return np.asarray(means[group_N], dtype=np.float32)


def _points(records: Sequence[FaceRecord], net: FaceNet, data: Path) -> Floats:
    """True points (N, K, 2) in picture coordinates where all are known, else those that the network finds."""
    known = [record.points is not None and all(record.points_mask or [True]) for record in records]
    points_NK2 = np.zeros((len(records), LANDMARKS, 2))
    unknown = [record for record, has in zip(records, known, strict=True) if not has]
    if unknown:
        points_NK2[~np.array(known)] = answer_faces(net, unknown, data=data, batch_size=_BATCH).landmarks_NK2
    for row, record in enumerate(records):
        if known[row]:
            points_NK2[row] = np.reshape(record.points or [], (LANDMARKS, 2))
    return points_NK2


def _upright(
    records: Sequence[FaceRecord], points_NK2: Floats | None, net: FaceNet | None, data: Path
) -> NDArray[np.uint8]:
    """Grey faces (N, 64, 64) turned, moved and scaled so that their points lie on the mean face."""
    faces = np.empty((len(records), _SIDE, _SIDE), dtype=np.uint8)
    for row, record in enumerate(tqdm(records, desc="audit", unit=" faces", disable=None)):
        picture = open_picture(record, data)
        if points_NK2 is None or net is None:
            face, _ = crop_face(picture, face_box(record), size=_SIDE, crop_scale=_CROP_SCALE)
        else:
            face = warp(picture, _onto(np.asarray(net.meta.mean_shape), points_NK2[row]), _SIDE)
        faces[row] = _grey(face)
    return faces


def _grey(picture_HWC: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture_HWC, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _onto(mean_K2: Floats, points_K2: Floats) -> Floats:
    """The least-squares similarity (2, 3) from picture coordinates to a frame in which the mean face fills the middle.

    As complex numbers: `a = <points, mean> / <points, points>` of centred shapes.
    """
    centred = mean_K2 - mean_K2.mean(axis=0)
    target_K2 = centred / (np.abs(centred).max() * _MARGIN)
    middle = points_K2.mean(axis=0)
    source, target = ((shape[:, 0] + 1j * shape[:, 1]) for shape in (points_K2 - middle, target_K2))
    a = np.vdot(source, target) / max(float(np.vdot(source, source).real), 1e-9)
    turn = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return np.column_stack([turn, 0.5 - turn @ middle])


def _gradients(faces_NHW: NDArray[np.uint8]) -> "list[Rows]":
    """Histograms of oriented gradients (Dalal and Triggs 2005): 8 x 8 cells, 9 directions, blocks of 2 x 2 cells."""
    return [_histograms(faces_NHW[start : start + 1024]) for start in range(0, len(faces_NHW), 1024)]


def _histograms(faces_NHW: NDArray[np.uint8]) -> Rows:
    down, across = np.gradient(faces_NHW.astype(np.float32), axis=(1, 2))
    size = np.hypot(across, down)
    angle = np.arctan2(down, across) % np.pi / np.pi * _BINS
    low = np.floor(angle)
    share = angle - low
    cells = _SIDE // _CELL
    histogram = np.zeros((len(faces_NHW), cells, cells, _BINS), dtype=np.float32)
    for direction in range(_BINS):
        weight = (low % _BINS == direction) * (1 - share) + ((low + 1) % _BINS == direction) * share
        histogram[..., direction] = (size * weight).reshape(-1, cells, _CELL, cells, _CELL).sum(axis=(2, 4))
    corners = (histogram[:, y : cells - 1 + y, x : cells - 1 + x] for y in (0, 1) for x in (0, 1))
    blocks = np.concatenate(list(corners), axis=-1)
    blocks = np.minimum(_unit(blocks), _CLIP)
    rows: Rows = _unit(blocks).reshape(len(faces_NHW), -1)
    return rows


def _unit(blocks: Rows) -> Rows:
    norm: Rows = np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-3)
    return blocks / norm


def _reduced(plain_ND: Rows, mirrored_ND: Rows, seed: int) -> tuple[Rows, Rows]:
    """The leading principal components, fitted without a label on some of the faces."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    some = np.random.default_rng(seed).permutation(len(plain_ND))[:_FITTED_ON]
    scaler = StandardScaler().fit(plain_ND[some])
    count = min(_COMPONENTS, len(some), plain_ND.shape[1])
    components = PCA(count, random_state=seed).fit(scaler.transform(plain_ND[some]))
    plain, mirrored = (components.transform(scaler.transform(rows)) for rows in (plain_ND, mirrored_ND))
    return plain, mirrored


def _standardised(name: str, plain_ND: Rows, mirrored_ND: Rows) -> View:
    both = np.concatenate([plain_ND, mirrored_ND])
    mean, spread = both.mean(axis=0), both.std(axis=0) + 1e-6
    plain, mirrored = (((rows - mean) / spread).astype(np.float32) for rows in (plain_ND, mirrored_ND))
    return View(name, plain, mirrored)
