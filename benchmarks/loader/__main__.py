"""Faces a second of one core: the loader of the training, a plain Dataset, webdataset, and decoding alone.

The loader reads shards, which are made once; how fast stands beside the others.

Seconds are the processor's, of all threads of this process, so that a neighbour on the machine counts little; the
roads take turns.

Run:
    python -m benchmarks.loader --out docs/results/loader.json
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import torch

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.loader.pictures import CROPS, PHOTOGRAPHS, Made, make
from benchmarks.loader.rivals import Vary, decoders, plain, webdataset
from model.cli.app import PARAMS_FILE
from model.config import Config, load_config
from model.data.loader import make_loader
from model.data.shards import write_shards
from model.evaluation.markdown import markdown

BATCH = 64
CASES = {"crops": CROPS, "photographs": PHOTOGRAPHS}

Road = Callable[[], Iterator[int]]


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    config = load_config(PARAMS_FILE, {"train.batch_size": BATCH, "train.loader_workers": 0})
    rows = {}
    for name, size in CASES.items():
        number = options.faces if name == "crops" else max(BATCH, options.faces // 8)
        with TemporaryDirectory() as scratch:
            began = time.process_time()
            made = make(config, Path(scratch), number=number, size=size)
            rows[name] = {
                "pictures": number,
                "size": list(size),
                "bytes": round(sum(file.stat().st_size for file in made.files) / number),
                "made_s": round(time.process_time() - began, 2),
                "rates": measure(config, made, seconds=options.seconds, repeats=options.repeats),
            }
    return {"format": 1, "kind": "loader", "input_size": config.train.net.input_size, "batch": BATCH, "cases": rows}


def measure(config: Config, made: Made, *, seconds: float, repeats: int) -> dict[str, list[float]]:
    """Faces a processor second by road, a value a turn; one turn before them is not counted."""
    roads = _roads(config, made)
    found: dict[str, list[float]] = {name: [] for name in roads}
    for turn in range(repeats + 1):
        for name, road in roads.items():
            rate = _rate(road, seconds)
            if turn:
                found[name].append(round(rate, 1))
    return found


def _roads(config: Config, made: Made) -> dict[str, Road]:
    net = config.train.net
    vary = Vary(config.train.augment, size=net.input_size, crop_scale=net.crop_scale)
    loader = make_loader(made.shards, "train", config.train, training=True, rank=0, world=1, seed=0)
    contents = [file.read_bytes() for file in made.files]
    return {
        "this loader": lambda: (len(batch.row_B) for batch in loader),
        "making the shards, once": partial(_shard, config, made),
        "plain Dataset": partial(plain, made, vary, BATCH),
        "webdataset": partial(webdataset, made, vary, BATCH),
        **{f"decoding alone, {name}": partial(_decoded, decode, contents) for name, decode in decoders().items()},
    }


def _shard(config: Config, made: Made) -> Iterator[int]:
    with TemporaryDirectory() as scratch:
        write_shards(config.shard, manifest=made.manifest, data=made.data, out=Path(scratch) / "shards")
    yield len(made.files)


def _decoded(decode: Callable[[bytes], Any], contents: list[bytes]) -> Iterator[int]:
    for content in contents:
        decode(content)
        yield 1


def _rate(road: Road, seconds: float) -> float:
    faces, began = 0, time.process_time()
    while True:
        for number in road():
            faces += number
            if time.process_time() - began > seconds:
                return faces / (time.process_time() - began)


def table(report: Report) -> str:
    """Medians, and what share of this loader's rate, and of the fastest decoder's, each road has."""
    parts = []
    for name, case in report["cases"].items():
        rates = {road: median(values) for road, values in case["rates"].items()}
        ours, limit = rates["this loader"], max(rate for road, rate in rates.items() if road.startswith("decoding"))
        rows = [
            [road, f"{rate:,.0f}", f"{ours / rate:.2f}", f"{100 * rate / limit:.0f}"] for road, rate in rates.items()
        ]
        heads = [name, "faces a core second", "this loader is so many times as fast", "% of decoding alone"]
        width, height = case["size"]
        parts.append(f"{case['pictures']:,} JPEG files of {width} x {height} pixels, {case['bytes']:,} bytes each:")
        parts.append(markdown(heads, rows))
    return "\n\n".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=2048, help="crops; an eighth of it photographs")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each road and turn (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns that count (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run(main)
