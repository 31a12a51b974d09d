"""Every road of the comparison makes whole batches of the same pictures."""

import pytest
from PIL import Image

from benchmarks.loader.__main__ import BATCH, measure, table
from benchmarks.loader.pictures import CROPS, make
from benchmarks.loader.rivals import Vary, decoders, plain, webdataset
from model.config import AugmentConfig, Config, load_config
from model.data.loader import make_loader

FACES = 70


@pytest.fixture(scope="module")
def small(root) -> Config:
    return load_config(root / "params.yaml", {"train.batch_size": BATCH, "train.loader_workers": 0})


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    return make(small, tmp_path_factory.mktemp("loader"), number=FACES, size=CROPS)


def test_every_road_gives_every_face(small, made) -> None:
    vary = Vary(small.train.augment, size=64, crop_scale=1.3)
    assert sum(plain(made, vary, BATCH)) == sum(webdataset(made, vary, BATCH)) == FACES
    loader = make_loader(made.shards, "train", small.train, training=True, rank=0, world=1, seed=0)
    assert loader.faces == FACES
    content = made.files[0].read_bytes()
    assert {decode(content).shape for decode in decoders().values()} == {(CROPS[1], CROPS[0], 3)}


def test_the_rival_cuts_and_normalises_a_face(small, made) -> None:
    still = AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields, 0.0))
    with Image.open(made.files[0]) as picture:
        image, points = Vary(still, size=64, crop_scale=1.3)(picture, made.points_NK2[0])
    assert image.shape == (3, 64, 64)
    assert -1 <= float(image.min()) < 0 < float(image.max()) <= 1
    assert ((points.min(dim=0).values + points.max(dim=0).values) / 2).tolist() == pytest.approx([0.5, 0.5], abs=1e-5)
    assert float((points.max(dim=0).values - points.min(dim=0).values).max()) == pytest.approx(1 / 1.3)


def test_rates_are_measured_side_by_side(small, made) -> None:
    rates = measure(small, made, seconds=0.05, repeats=2)
    assert {len(values) for values in rates.values()} == {2}
    case = {"pictures": FACES, "size": list(CROPS), "bytes": 7000, "rates": rates}
    assert "| this loader |" in table({"cases": {"crops": case}})
