"""Points for faces without them, from a network that was never told an expression.

The network of the chain learns both tasks at once, so its maps know the labels that are to be audited. Here one learns
the points alone, from every face that has them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.config import AuditConfig, ShardConfig, TrainRun
from model.config import overlay as overlaid
from model.data.faces import read_index
from model.data.manifest import write_manifest
from model.data.shards import write_shards
from model.errors import ConfigError
from model.net.inference import FaceNet
from model.schema import FaceRecord
from model.train.checkpoint import drop_foreign, origin_of
from model.train.loop import train
from model.weights import load_meta

_HELD_OUT = 0.1
_POINTS_ALONE = {
    "train.net.tasks": ["landmarks"],
    "train.net.aflw_head": False,
    "train.net.residual.kind": "none",
    "train.association.learn_weight": 0.0,
    "train.association.to_expression_weight": 0.0,
    "train.association.to_landmarks_weight": 0.0,
    "train.start_from": "",
    "train.steps_per_epoch": 0,
}


def load_landmark_net(folder: Path) -> FaceNet:
    """Weights that were given instead of trained here.

    Raises:
        CheckpointError: no sound weights.
        ConfigError: they know expressions, so their points may have been bent towards the labels.
    """
    tasks = load_meta(folder).net.tasks
    if tuple(tasks) != ("landmarks",):
        raise ConfigError(
            f"{folder}: trained on {', '.join(tasks)}; an audit needs weights that never saw an expression, such as "
            "those of recipe row-single-landmarks"
        )
    return FaceNet.load(folder)


def train_landmark_net(
    config: AuditConfig, run: TrainRun, shard: ShardConfig, *, records: Sequence[FaceRecord], data: Path, out: Path
) -> FaceNet | None:
    """Train on all faces with 68 points, a tenth of their groups held out; None where no face has points.

    A call with the same faces and configuration takes the weights of the former one, or goes on where it was cut off.
    """
    faces = _split([record for record in records if record.points is not None], seed=run.seed)
    if {face.split for face in faces} != {"train", "val"}:
        return None
    manifest, shards, weights = out / "manifest.parquet", out / "shards", out / "train"
    write_manifest(manifest, faces)
    write_shards(shard, manifest=manifest, data=data, out=shards)
    alone = overlaid(run, {**_POINTS_ALONE, "train.epochs": config.epochs, "train.val_every": config.epochs})
    drop_foreign(weights, origin_of(alone, read_index(shards)))
    train(alone, shards=shards, out=weights)
    return FaceNet.load(weights)


def _split(faces: Sequence[FaceRecord], *, seed: int) -> list[FaceRecord]:
    """Faces of the splits `train` and `val`, without labels of the other task."""
    groups = sorted({face.group or face.record_id for face in faces})
    order = np.random.default_rng(seed).permutation(len(groups))
    held = {groups[place] for place in order[: max(1, round(_HELD_OUT * len(groups)))]} if len(groups) > 1 else set()
    return [
        replace(
            face,
            split="val" if (face.group or face.record_id) in held else "train",
            expression=None,
            votes=None,
            points19=None,
            points19_mask=None,
        )
        for face in faces
    ]
