"""The champion measured on the challenger's own faces, so that a new version of the data can be judged at all."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import EvaluateConfig
from model.data.manifest import data_digest, read_manifest
from model.errors import DataContractError, GateError, MissingVersionError
from model.evaluation.comparison import COMPARISON_FILE
from model.evaluation.evaluate import evaluate
from model.evaluation.paired import compare
from model.registry.release import fetch_champion
from model.registry.reports import read_report
from model.schema import to_json
from model.storage import atomic_path, write_json
from model.weights import load_meta

ABOUT_FILE = "champion.json"
EVALUATION_FILE = "evaluation.json"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Faces:
    """What the challenger was evaluated on: the validated manifest, the folder of its pictures, and the seed."""

    manifest: Path
    data: Path
    seed: int


def evaluate_champion(
    config: EvaluateConfig, name: str, faces: Faces, *, evaluation: Path, predictions: Path, out: Path
) -> dict[str, Any]:
    """Evaluate the champion of the registry as the challenger was, and compare both face by face.

    Writes `champion.json`, which says who that is, the champion's evaluation and its pages, and `comparison.json` into
    the folder `out`; the first one alone where there is no champion, or where it is the challenger itself.

    Args:
        name: the model's in the registry.
        evaluation: the challenger's report; `predictions` is its table of answers.

    Returns:
        What `champion.json` holds: the champion's version and weights (null: none), and the challenger's weights.

    Raises:
        DataContractError: the faces are not those that the challenger was evaluated on.
        RegistryError: the champion was altered, or its promotion is not signed by a configured key.
        ServiceError: MLflow is out of reach.
    """
    challenger = read_report(evaluation)
    present = data_digest(read_manifest(faces.manifest))
    if present != challenger.data_digest:
        raise DataContractError(
            f"{evaluation}: measured on data {challenger.data_digest}, {faces.manifest} holds {present}; "
            "run `rmtl evaluate` first"
        )
    about: dict[str, Any] = {"name": name, "version": None, "weights_digest": None}
    with tempfile.TemporaryDirectory() as scratch, atomic_path(out) as folder:
        weights = Path(scratch) / "weights"
        folder.mkdir()
        try:
            about["version"] = fetch_champion(name, weights)
            about["weights_digest"] = load_meta(weights).weights_digest
        except (GateError, MissingVersionError) as error:
            _logger.info("%s: no champion to compare with: %s", name, error)
        about["challenger"] = challenger.weights_digest
        if about["weights_digest"] not in (None, challenger.weights_digest):
            report = evaluate(
                config,
                weights=weights,
                manifest=faces.manifest,
                data=faces.data,
                reports=folder,
                predictions=folder / "predictions.parquet",
                seed=faces.seed,
            )
            compared = compare(
                config,
                (challenger, predictions),
                (report, folder / "predictions.parquet"),
                manifest=faces.manifest,
                seed=faces.seed,
            )
            write_json(folder / COMPARISON_FILE, to_json(compared))
        write_json(folder / ABOUT_FILE, about)
    return about
