"""Other roads to the same batches, written as people write them: crop, vary, mirror, normalise, collate."""

import io
import random
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.loader.pictures import Made
from model.config import AugmentConfig
from model.schema import FLIP_68


class Vary:
    """Geometry in one warp, colour, blur, grain, grey and an erased box, at the chances of the configuration."""

    def __init__(self, config: AugmentConfig, *, size: int, crop_scale: float) -> None:
        self._config, self._size, self._crop_scale = config, size, crop_scale

    def __call__(self, image: Any, points_K2: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """An RGB picture and its points -> a normalised (3, S, S) crop and points in 0..1."""
        config, size = self._config, self._size
        pixels, points = np.asarray(image), np.asarray(points_K2, dtype=np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        side = float((high - low).max()) * self._crop_scale * random.uniform(1 - config.scale, 1 + config.scale)
        centre = (low + high) / 2 + config.shift * side * np.random.uniform(-1, 1, 2)
        turn = random.uniform(-config.rotation, config.rotation)
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), turn, size / side)
        matrix[:, 2] += size / 2 - centre
        crop: Any = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        points = (points @ matrix[:, :2].T + matrix[:, 2]) / size
        if random.random() < config.flip:
            crop, points = np.ascontiguousarray(crop[:, ::-1]), points[list(FLIP_68)]
            points[:, 0] = 1 - points[:, 0]
        crop = self._light(crop).astype(np.float32)
        if random.random() < config.noise:
            crop += np.random.normal(0, random.uniform(2, 16), crop.shape)
        tensor = torch.from_numpy(np.clip(crop, 0, 255) / 127.5 - 1).permute(2, 0, 1).float()
        return tensor, torch.from_numpy(points.astype(np.float32))

    def _light(self, crop: Any) -> Any:
        config, size = self._config, self._size
        if random.random() < config.erase:
            width, height = (int(size * random.uniform(0.1, 0.4)) for _ in range(2))
            x, y = random.randrange(size - width), random.randrange(size - height)
            crop[y : y + height, x : x + width] = np.random.randint(0, 256, 3)
        if random.random() < config.blur:
            crop = cv2.GaussianBlur(crop, (0, 0), random.uniform(0.3, 1.6))
        if random.random() < config.low_resolution:
            coarse = int(size * random.uniform(0.25, 0.8))
            crop = cv2.resize(cv2.resize(crop, (coarse, coarse), interpolation=cv2.INTER_AREA), (size, size))
        contrast = 1 + random.uniform(-config.contrast, config.contrast)
        crop = cv2.convertScaleAbs(crop, alpha=contrast, beta=255 * random.uniform(0, config.brightness))
        if random.random() < config.grey:
            crop = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return crop


class PlainDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """One file a face."""

    def __init__(self, made: Made, vary: Vary) -> None:
        self._made, self._vary = made, vary

    def __len__(self) -> int:
        return len(self._made.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        with Image.open(self._made.files[index]) as image:
            return self._vary(image.convert("RGB"), self._made.points_NK2[index])


def plain(made: Made, vary: Vary, batch: int) -> Iterator[int]:
    """Sizes of the batches of a DataLoader over files."""
    for images, _ in DataLoader(PlainDataset(made, vary), batch_size=batch, shuffle=True):
        yield len(images)


def webdataset(made: Made, vary: Vary, batch: int) -> Iterator[int]:
    """Sizes of the batches of webdataset over one tar, shuffled in memory as its documentation shows."""
    import webdataset as wds

    def read(sample: tuple[Any, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return vary(*sample)

    dataset = wds.WebDataset(str(made.tar), shardshuffle=False).shuffle(1000).decode("rgb8").to_tuple("jpg", "json")
    for images, _ in dataset.map(read).batched(batch):
        yield len(images)


def decoders() -> dict[str, Callable[[bytes], Any]]:
    """JPEG bytes to RGB pixels, by library."""
    import simplejpeg

    def opencv(content: bytes) -> Any:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)

    def pillow(content: bytes) -> Any:
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    return {"OpenCV": opencv, "Pillow": pillow, "simplejpeg": simplejpeg.decode_jpeg}
