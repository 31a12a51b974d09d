"""The same work without a server: the bare network, and the predictor by its stages."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load.pictures import Case
from model.data.codec import decode_image
from model.data.transforms import crop_face
from model.net.inference import FaceNet
from model.serving.detector import find_faces
from model.serving.predictor import MAX_PIXELS, Predictor
from model.serving.schema import Picture


def measure_inside(weights: Path, case: Case, *, seconds: float) -> dict[str, Any]:
    """Median milliseconds of a request: `forward` the network alone, `predictor` the whole, and its stages."""
    net, predictor = FaceNet.load(weights).record(), Predictor(weights)
    images = [decode_image(content, max_pixels=MAX_PIXELS) for content, _ in case.pictures]
    boxes = [
        given or [box for box, _ in find_faces(image)] for image, (_, given) in zip(images, case.pictures, strict=True)
    ]
    size, scale = net.meta.net.input_size, net.meta.net.crop_scale

    def crop() -> list[Any]:
        return [
            np.stack([crop_face(image, box, size=size, crop_scale=scale)[0] for box in found])
            for image, found in zip(images, boxes, strict=True)
            if found
        ]

    crops = crop()
    pictures = [Picture(content, given) for content, given in case.pictures]
    parts: dict[str, Callable[[], Any]] = {
        "decode": lambda: [decode_image(content, max_pixels=MAX_PIXELS) for content, _ in case.pictures],
        "crop": crop,
        "forward": lambda: net.answer(np.concatenate(crops)),
        "predictor": lambda: predictor.predict_many(pictures),
    }
    if case.pictures[0][1] is None:
        parts["detect"] = lambda: [find_faces(image) for image in images]
    found = sum(len(answer["faces"]) for answer in predictor.predict_many(pictures))
    return {"faces": found, "ms": {name: _median_ms(part, seconds) for name, part in parts.items()}}


def _median_ms(part: Callable[[], Any], seconds: float) -> float:
    part()
    return float(np.median(list(_times(part, seconds)))) * 1000


def _times(part: Callable[[], Any], seconds: float) -> Iterator[float]:
    until = time.perf_counter() + seconds
    for number in range(10**6):
        if number >= 5 and time.perf_counter() > until:
            return
        begun = time.perf_counter()
        part()
        yield time.perf_counter() - begun
