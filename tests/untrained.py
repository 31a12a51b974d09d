"""Untrained weights, and evaluations made up for them."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from model.config import Config
from model.net.multitask import build_net
from model.schema import EvaluationReport, Measure
from model.storage import write_json
from model.weights import describe, load_meta, save_weights


def make_weights(config: Config, folder: Path, *, seed: int) -> Path:
    """A weights folder of the configured network, without association."""
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    net = build_net(config.train.net, None, mean_shape_K2=shape, seed=seed)
    points = tuple((float(x), float(y)) for x, y in shape)
    meta = describe(config.run, mean_shape=points, data_digest="d" * 16, restricted=False)
    save_weights(folder, net.state_dict(), meta)
    return folder


def make_evaluation(path: Path, weights: Path, nme: float) -> Path:
    """An evaluation report of the weights with this error and a macro-F1 of 60."""
    meta = load_meta(weights)
    measures = [
        Measure("test", "landmarks", "nme", "all", nme, None, None, 100, normaliser="inter_ocular"),
        Measure("test", "expression", "macro_f1", "all", 60.0, None, None, 100),
    ]
    summary = {"test/nme_interocular": nme, "test/macro_f1": 60.0}
    write_json(path, asdict(EvaluationReport(meta.weights_digest, meta.data_digest, summary, measures)))
    return path
