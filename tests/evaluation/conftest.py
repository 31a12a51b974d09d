"""A small made benchmark of drawn faces, and an untrained net to answer about it."""

import io
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import model.evaluation.evaluate as step
from model.config import Config, EvaluateConfig, dump_config, override, parse_config
from model.data.codec import tight_box
from model.data.manifest import write_manifest
from model.evaluation.findings import Findings
from model.evaluation.report import write_report
from model.net.multitask import build_net, export_state
from model.schema import EXPRESSIONS, EvaluationReport, FaceRecord
from model.storage import digest_bytes
from model.weights import describe, save_weights

SIDE = 96


def face_points() -> np.ndarray:
    """68 points of a plain frontal face in units of its width."""

    def line(*corners: tuple[float, float], number: int) -> np.ndarray:
        knots = np.linspace(0, 1, len(corners))
        x, y = np.array(corners).T
        return np.stack([np.interp(np.linspace(0, 1, number), knots, axis) for axis in (x, y)], 1)

    def ring(x: float, y: float, width: float, height: float, number: int) -> np.ndarray:
        angle = np.pi + 2 * np.pi * np.arange(number) / number
        return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], 1)

    jaw_angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.5 * np.cos(jaw_angle), 0.35 + 0.65 * np.sin(jaw_angle)], 1)
    return np.concatenate(
        [
            jaw,
            line((0.14, 0.2), (0.27, 0.14), (0.42, 0.2), number=5),
            line((0.58, 0.2), (0.73, 0.14), (0.86, 0.2), number=5),
            line((0.5, 0.32), (0.5, 0.55), number=4),
            line((0.4, 0.6), (0.5, 0.63), (0.6, 0.6), number=5),
            ring(0.29, 0.33, 0.08, 0.035, 6),
            ring(0.71, 0.33, 0.08, 0.035, 6),
            ring(0.5, 0.78, 0.17, 0.06, 12),
            ring(0.5, 0.78, 0.13, 0.02, 8),
        ]
    )


@dataclass(frozen=True)
class Bench:
    """Where the made benchmark lies."""

    data: Path
    manifest: Path
    weights: Path
    records: list[FaceRecord]
    config: EvaluateConfig

    def run(self, out: Path, **changes):
        config = self.config.model_copy(update=changes)
        places = {"weights": self.weights, "manifest": self.manifest, "data": self.data}
        return step.evaluate(config, **places, reports=out / "reports", predictions=out / "predictions.parquet", seed=0)


def draw_face(folder: Path, place: int, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    points = 24 + 48 * face_points() + rng.normal(0, 0.5, (68, 2)) + rng.uniform(-8, 8, 2)
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in rng.integers(120, 220, 3)))
    pen = ImageDraw.Draw(image)
    pen.polygon([tuple(p) for p in [*points[:17], *points[26:16:-1]]], fill=(230, 190, 165))
    for part in (slice(36, 42), slice(42, 48), slice(48, 60)):
        pen.polygon([tuple(p) for p in points[part]], fill=(60, 40, 40))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    (folder / f"{place:03d}.png").write_bytes(stream.getvalue())
    return stream.getvalue(), points


def make_records(data: Path, number: int = 36) -> list[FaceRecord]:
    """A third with both labels, a third with points, a third with a class (of six: nobody shows disgust)."""
    folder = data / "made"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [name for name in EXPRESSIONS if name != "disgust"]
    records = []
    for place in range(number):
        content, points = draw_face(folder, place, rng)
        kind = ("both", "points", "class")[place % 3]
        has_points, has_class = kind != "class", kind != "points"
        votes = [0, 9, 1, 0, 0, 0, 0, 0, 0, 0] if kind == "class" else None
        records.append(
            FaceRecord(
                record_id=f"made-{place:03d}",
                source=f"made_{kind}",
                split="test",
                subset="plain" if place % 2 else "<b>odd</b>",
                group=f"person{place // 2}",
                image=f"made/{place:03d}.png",
                sha256=digest_bytes(content),
                width=SIDE,
                height=SIDE,
                box=list(tight_box(points)) if has_points else None,
                points=points.ravel().tolist() if has_points else None,
                points_mask=[point != 5 for point in range(68)] if has_points else None,
                expression=names[place // 3 % len(names)] if has_class else None,
                votes=votes,
                restricted=kind == "both",
                facts=json.dumps({"yaw": -40 + 2.5 * place, "gender": "female" if place % 4 else "male", "age": place}),
            )
        )
    return records


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Bench:
    """Drawn faces, their manifest, and weights of an untrained net of the smallest size."""
    home = tmp_path_factory.mktemp("bench")
    records = make_records(home / "data")
    write_manifest(home / "manifest.parquet", records)
    save_random_weights(config, home / "weights")
    small = config.evaluate.model_copy(update={"bootstrap": 50, "drawn": 6, "batch_size": 5})
    return Bench(home / "data", home / "manifest.parquet", home / "weights", records, small)


@dataclass(frozen=True)
class Evaluated:
    """One full run on the made benchmark: what it returned, found and wrote."""

    report: EvaluationReport
    findings: Findings
    out: Path


@pytest.fixture(scope="session")
def evaluated(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    out = tmp_path_factory.mktemp("evaluated")
    kept = []

    def keep(findings: Findings, reports: Path) -> None:
        kept.append(findings)
        write_report(findings, reports)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "write_report", keep)
        report = bench.run(out)
    return Evaluated(report, kept[0], out)


@pytest.fixture
def random_weights(config: Config):
    """`save_random_weights` with the committed configuration."""
    return partial(save_random_weights, config)


def save_random_weights(config: Config, folder: Path, **net: object) -> None:
    """Weights of an untrained net; `net` overrides keys of `train.net`, dotted as in params.yaml."""
    tree = override(dump_config(config), {f"train.net.{name}": value for name, value in net.items()})
    changed = parse_config(tree, origin="test")
    shape = 0.15 + 0.7 * face_points()
    built = build_net(changed.train.net, None, mean_shape_K2=shape, seed=0)
    points = tuple((float(x), float(y)) for x, y in shape)
    meta = describe(changed.run, mean_shape=points, data_digest="elsewhere", restricted=False, temperature=1.5)
    save_weights(folder, export_state(built), meta)
