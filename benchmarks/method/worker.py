"""One run in a process of its own: prepare, train, measure, write its JSON, clear up.

Run: python -m benchmarks.method.worker gap-100-residual-0 --data /data/study --results docs/results/method
"""

import argparse
import csv
import logging
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.method.faces import Faces, faces_of, keep_faces
from benchmarks.method.measure import Heard, hear
from benchmarks.method.origin import code_state, versions
from benchmarks.method.packing import pack_classes, pack_errors
from benchmarks.method.places import Places
from benchmarks.method.plan import (
    ROOT,
    STUDY_FILE,
    PlannedRun,
    Study,
    config_digest,
    load_study,
    planned_runs,
    run_config,
    run_overrides,
)
from benchmarks.method.prepare import Prepared, prepare
from benchmarks.method.statistics import subject_means
from model.config import Config
from model.data.faces import read_index
from model.errors import ConfigError, FaceError
from model.net.counting import flops, parameters
from model.schema import TrainResult
from model.storage import write_json
from model.train.checkpoint import drop_foreign, origin_of
from model.train.loop import train
from model.train.orphan import end_with_parent
from model.train.spool import HISTORY_FILE

logger = logging.getLogger(__name__)

FORMAT = 1
# Columns of the history that tell what the exchange and the association did.
_TOLD = ("residual/", "assoc/", "train/assoc_", "train/q_", "train/pseudo_")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one run; the exit code of its failure, 143 after SIGTERM with the checkpoint written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method.worker", description=__doc__.splitlines()[0])
    parser.add_argument("key", help="name of a planned run")
    parser.add_argument("--study", type=Path, default=STUDY_FILE)
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    values = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        execute(values.pop("key"), Places(**values))
    except FaceError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


def execute(key: str, places: Places) -> None:
    """Train and measure the run of a name, or go on where it was cut off; its folder is deleted at the end.

    Raises:
        ConfigError: the plan has no such run, or its configuration is wrong.
        FaceError: whatever data, training and weights raise.
    """
    study = load_study(places.study)
    run = next(iter(planned_runs(study, key)), None)
    if run is None:
        raise ConfigError(f"{places.study}: no run {key}")
    config, folder = run_config(study, run, places.params), places.folder(run)
    prepared = prepare(config, run.data, run.fraction, data=places.data, results=places.results)
    drop_foreign(folder, origin_of(config.run, read_index(prepared.shards)))
    # Told as it is before the first step: code and recipes may change while the training runs.
    origin = _origin(study, run, config, prepared)
    resumed, began = folder.exists(), time.monotonic()
    trained = train(config.run, shards=prepared.shards, out=folder)
    middle = time.monotonic()
    records = prepared.test_records()
    faces = faces_of(records)
    heard = hear(folder, records, data=prepared.data)
    seconds = {"train": middle - began, "measure": time.monotonic() - middle}
    keep_faces(faces, places.results, run.data)
    write_json(
        places.result(run),
        {
            "format": FORMAT,
            "key": run.key,
            **asdict(run),
            **origin,
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "resumed": resumed,
            **_found(trained, folder, heard, faces),
        },
    )
    shutil.rmtree(folder)


def _origin(study: Study, run: PlannedRun, config: Config, prepared: Prepared) -> dict[str, Any]:
    return {
        "overrides": run_overrides(study, run.row),
        "config_digest": config_digest(config),
        "digests": {name: digest[:16] for name, digest in prepared.files.items()},
        "code": code_state(),
        "versions": versions(),
        "labels": prepared.label_counts(),
    }


def _found(trained: TrainResult, folder: Path, heard: Heard, faces: Faces) -> dict[str, Any]:
    errors, classes = heard.errors(), heard.classes()
    return {
        "parameters": parameters(heard.net.net),
        "multiply_adds": flops(heard.net.net),
        "best_epoch": trained.epoch,
        "held_out": _short({name: value for name, value in trained.metrics.items() if name.startswith("val/")}),
        "last_epoch": _short(_last_row(folder / HISTORY_FILE)),
        "test": {kind: heard.summary(kind) for kind in heard.kinds},
        "faces_digest": faces.digest,
        "nme_by_subject": None if errors is None else pack_errors(subject_means(errors, faces.subject_N)),
        "class_by_face": None if classes is None else pack_classes(classes),
    }


def _last_row(path: Path) -> dict[str, float]:
    with path.open(newline="") as stream:
        *_, last = csv.DictReader(stream)
    return {name: float(text) for name, text in last.items() if text and name.startswith(_TOLD)}


def _short(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.5g}") for name, value in values.items() if math.isfinite(value)}


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
