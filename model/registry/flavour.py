"""The MLmodel file of a version: it shows the signature in MLflow's pages and names no loader, so nothing runs."""

from pathlib import Path

import numpy as np
from mlflow.entities import LoggedModel
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from model.schema import LANDMARKS
from model.weights import META_FILE, WEIGHTS_FILE, Meta

FLAVOUR = "residual_mtl"


def write_mlmodel(folder: Path, meta: Meta, logged: LoggedModel) -> None:
    """Write `MLmodel` into `folder`: square RGB crops in; points in crop units, confidences and probabilities out."""
    model = Model(
        artifact_path=logged.artifact_location,
        run_id=logged.source_run_id,
        model_id=logged.model_id,
        model_uuid=logged.model_id,
        signature=signature(meta),
    )
    model.add_flavor(FLAVOUR, weights=WEIGHTS_FILE, meta=META_FILE, code_version=meta.code.get("version", "unknown"))
    model.save(str(folder / "MLmodel"))


def signature(meta: Meta) -> ModelSignature:
    """What goes in and comes out, -1 being the number of faces."""
    side, single = meta.net.input_size, np.dtype("float32")
    outputs: list[ColSpec | TensorSpec] = []
    if "landmarks" in meta.net.tasks:
        outputs += [TensorSpec(single, (-1, LANDMARKS, 2), "points"), TensorSpec(single, (-1, LANDMARKS), "confidence")]
    if "expression" in meta.net.tasks:
        outputs.append(TensorSpec(single, (-1, len(meta.expressions)), "probabilities"))
    inputs: list[ColSpec | TensorSpec] = [TensorSpec(np.dtype("uint8"), (-1, side, side, 3), "crops")]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
