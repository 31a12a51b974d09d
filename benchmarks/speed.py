"""Milliseconds a face on one core, for both answers; beside other packages in the same minutes where they are there.

`--peers` names a folder with `time_faceapi.mjs` and its `node_modules`, and `time_mediapipe.py` with its environment
`mpvenv`. Each is started pinned to the same core, in turn with our own measurements; each prints
`{"rows": {name: {"p50_ms", "cpu_p50_ms", "n"}}}`.

Run:
    python -m benchmarks.speed --weights weights --peers peers --out docs/results/speed.json
"""

import argparse
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.peers import COMPARED, time_peers
from model.data.codec import Pixels, decode_image, decode_points
from model.data.transforms import crop_face
from model.errors import DataContractError
from model.evaluation.markdown import markdown
from model.net.counting import flops, parameters
from model.net.inference import FaceNet
from model.schema import Box
from model.serving.detector import find_faces
from model.serving.predictor import MAX_PIXELS, Predictor

KIND = "speed"
PICTURE = Path("artifacts/demo/astronaut.png")
SIDE = 512
WARM_UP = 5
OURS = "this network"


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    core = _one_core()
    with TemporaryDirectory() as scratch:
        picture = _prepare(options.picture, Path(scratch))
        net, predictor = FaceNet.load(options.weights), Predictor(options.weights)
        box = _best_box(picture)
        rounds = [_round(net, predictor, picture, box, options) for _ in range(options.rounds)]
    return {
        "format": 1,
        "kind": KIND,
        "weights_digest": net.meta.weights_digest,
        "net": net.meta.net.model_dump(mode="json"),
        "parameters": parameters(net.net),
        "multiply_adds": flops(net.net),
        "threads": 1,
        "core": core,
        "cpu": _cpu(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "picture": {"file": options.picture.name, "side": SIDE, "box": [round(value, 1) for value in box]},
        "rounds": options.rounds,
        "rows": summarise(rounds),
    }


def time_ours(
    net: FaceNet, predictor: Predictor, content: bytes, box: Box, *, number: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """A row for each part of an answer and for the whole; all but the last three start from decoded pixels."""
    image = decode_image(content, max_pixels=MAX_PIXELS)
    size, scale = net.meta.net.input_size, net.meta.net.crop_scale
    crop, _ = crop_face(image, box, size=size, crop_scale=scale)
    batch = torch.from_numpy(crop[None]).permute(0, 3, 1, 2)
    plain, mirrored = (_with_mirror(net, mirror) for mirror in (False, True))
    published = mirrored if net.meta.net.mirror else plain

    def crop_and_answer() -> None:
        face, matrix = crop_face(image, box, size=size, crop_scale=scale)
        points = published.answer(face[None]).points_BK2
        if points is not None:
            decode_points(points[0], matrix)

    with torch.inference_mode():
        calls: dict[str, Callable[[], object]] = {
            "network, not recorded": lambda: net.net(batch),
            "answer": lambda: plain.answer(crop[None]),
            "answer with mirror": lambda: mirrored.answer(crop[None]),
            "given box": crop_and_answer,
            "decode the file": lambda: decode_image(content, max_pixels=MAX_PIXELS),
            "predictor, given box, from the file": lambda: predictor.predict(content, [box]),
            "predictor, own detector, from the file": lambda: predictor.predict(content),
        }
        for name, call in calls.items():
            yield {"who": OURS, "what": name, **clock(call, number=number, seconds=seconds)}


def clock(call: Callable[[], object], *, number: int, seconds: float) -> dict[str, float]:
    """Wall and CPU milliseconds of up to `number` calls, as many as fit into `seconds`."""
    for _ in range(WARM_UP):
        call()
    wall: list[float] = []
    cpu: list[float] = []
    end = perf_counter() + seconds
    while len(wall) < number and (not wall or perf_counter() < end):
        began, busy = perf_counter(), process_time()
        call()
        wall.append(1e3 * (perf_counter() - began))
        cpu.append(1e3 * (process_time() - busy))
    return {
        "p50_ms": float(np.percentile(wall, 50)),
        "p90_ms": float(np.percentile(wall, 90)),
        "cpu_p50_ms": float(np.percentile(cpu, 50)),
        "n": len(wall),
    }


def summarise(rounds: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Medians over the rounds by row; `ratio` is a peer's CPU time over ours of the same work.

    CPU time, since wall time is that of others too where they want the core.
    """
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in (row for one in rounds for row in one):
        rows.setdefault((row["who"], row["what"]), []).append(row)
    medians = {
        row: {name: _median(found, name) for name in ("p50_ms", "p90_ms", "cpu_p50_ms")} for row, found in rows.items()
    }
    return [
        {
            "who": who,
            "what": what,
            **medians[who, what],
            "n": sum(row["n"] for row in found),
            "ratio": _ratio(who, what, medians),
        }
        for (who, what), found in rows.items()
    ]


def table(report: Report) -> str:
    """Markdown; the last column tells how many times our CPU time a peer takes for the same work."""
    lines = [
        [f"{row['who']}: {row['what']}", *(_cell(row[name]) for name in ("p50_ms", "p90_ms", "cpu_p50_ms", "ratio"))]
        for row in report["rows"]
    ]
    return markdown(["one thread", "p50 ms", "p90 ms", "CPU p50 ms", "CPU, times ours"], lines)


def _round(
    net: FaceNet, predictor: Predictor, picture: Path, box: Box, options: argparse.Namespace
) -> list[dict[str, Any]]:
    number, seconds = options.n, options.seconds
    rows = list(time_ours(net, predictor, picture.read_bytes(), box, number=number, seconds=seconds))
    if options.peers:
        rows += time_peers(options.peers, picture, box, number=number, seconds=seconds)
    return rows


def _with_mirror(net: FaceNet, mirror: bool) -> FaceNet:
    config = net.meta.net.model_copy(update={"mirror": mirror})
    return FaceNet(net.net, net.meta.model_copy(update={"net": config})).record()


def _prepare(picture: Path, scratch: Path) -> Path:
    """A JPEG whose longer side is `SIDE` pixels."""
    if not picture.is_file():
        raise DataContractError(f"{picture}: no such picture; `make photograph` fetches one, or name yours")
    image: Pixels = decode_image(picture.read_bytes(), max_pixels=MAX_PIXELS)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    Image.fromarray(image).resize(size, Image.Resampling.LANCZOS).save(scratch / "face.jpg", quality=95)
    return scratch / "face.jpg"


def _best_box(picture: Path) -> Box:
    found = find_faces(decode_image(picture.read_bytes(), max_pixels=MAX_PIXELS))
    if not found:
        raise DataContractError("no face found in the picture; name another with --picture")
    return max(found, key=lambda item: item[1])[0]


def _one_core() -> int | None:
    """This process and those it starts stay on one core and in one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _median(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return round(statistics.median(values), 3) if values else None


def _ratio(who: str, what: str, medians: Mapping[tuple[str, str], Mapping[str, float | None]]) -> float | None:
    same = COMPARED.get((who, what))
    theirs, ours = medians[who, what]["cpu_p50_ms"], None if same is None else medians[OURS, same]["cpu_p50_ms"]
    return None if theirs is None or ours is None else round(theirs / ours, 2)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--peers", type=Path, help="prepared folder of the other packages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=100, help="calls a row and round")
    parser.add_argument("--seconds", type=float, default=10.0, help="after which a row of a round stops")
    return parser


if __name__ == "__main__":
    run(main)
