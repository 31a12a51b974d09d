"""Requests of the comparison: face crops and two-megapixel photographs, of one face and of eight."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.schema import Box
from model.storage import read_bytes

SAMPLE = Path("data/sample")
CROP_SIDE = 128
PHOTOGRAPH = (1632, 1224)
FACES = (1, 8)
_FACE_SIDE = 260
_QUALITY = 90


@dataclass(frozen=True)
class Case:
    """Pictures of one request, each with its boxes or None where the faces are to be found."""

    name: str
    pictures: list[tuple[bytes, list[Box] | None]]
    faces: int

    def own(self) -> bytes:
        """Body for TorchServe and the router."""
        instances = [{"image": _text(content), "boxes": boxes} for content, boxes in self.pictures]
        return json.dumps({"instances": instances}).encode()

    def v2(self) -> bytes:
        """Body for the Open Inference Protocol."""
        number = len(self.pictures)
        images = [_text(content) for content, _ in self.pictures]
        inputs: list[dict[str, Any]] = [{"name": "image", "datatype": "BYTES", "shape": [number], "data": images}]
        boxes = [box for _, boxes in self.pictures if boxes for box in boxes]
        if boxes:
            inputs.append({"name": "box", "datatype": "FP64", "shape": [number, 4], "data": boxes})
        return json.dumps({"inputs": inputs}).encode()


def cases() -> list[Case]:
    """Crops with their box, photographs without."""
    faces = list(_faces(max(FACES)))
    whole = (0.0, 0.0, CROP_SIDE - 1.0, CROP_SIDE - 1.0)
    crops = [(_jpeg(face.resize((CROP_SIDE, CROP_SIDE))), [whole]) for face in faces]
    made = [Case(f"{number} crop(s)", list(crops[:number]), number) for number in FACES]
    return made + [
        Case(f"photograph, {number} face(s)", [(_photograph(faces[:number]), None)], number) for number in FACES
    ]


def _faces(number: int) -> Iterator[Image.Image]:
    """Uncovered frontal faces of the sample benchmark's test split, in colour size."""
    for line in (SAMPLE / "labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        if number and label["split"] == "test" and label["facts"]["occluder"] == "none":
            picture = Image.open(io.BytesIO(read_bytes(label["image"], SAMPLE))).convert("RGB")
            if picture.width >= 100:
                number -= 1
                yield picture


def _photograph(faces: list[Image.Image]) -> bytes:
    """Faces in two rows before a smooth background."""
    ramp = np.linspace(90, 190, PHOTOGRAPH[0] * PHOTOGRAPH[1]).reshape(PHOTOGRAPH[1], PHOTOGRAPH[0])
    canvas = Image.fromarray(ramp.astype(np.uint8)).convert("RGB")
    for place, face in enumerate(faces):
        corner = (70 + place % 4 * 390, 200 + place // 4 * 520)
        canvas.paste(face.resize((_FACE_SIDE, _FACE_SIDE)), corner)
    return _jpeg(canvas)


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=_QUALITY)
    return stream.getvalue()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
