"""The digest of the data, as each hand-over on the way to a served answer states it."""

import json
import zipfile
from pathlib import Path

from mlflow import MlflowClient

from model.data.manifest import data_digest, read_manifest
from model.storage import read_json


def stated_digests(root: Path, *, name: str = "residual-mtl") -> dict[str, str]:
    """What manifest, weights, run, champion and deployed archive of a working folder state, by their names."""
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}", registry_uri=f"sqlite:///{root / 'mlflow.db'}")
    version = client.get_model_version_by_alias(name, "champion")
    with zipfile.ZipFile(root / f"artifacts/deployed/{name}.mar") as archive:
        packed = json.loads(archive.read("meta.json"))
    return {
        "manifest": data_digest(read_manifest(root / "artifacts/manifest.valid.parquet")),
        "weights": read_json(root / "artifacts/train/meta.json")["data_digest"],
        "evaluation": read_json(root / "reports/evaluation.json")["data_digest"],
        "run": client.get_run(str(version.run_id)).data.tags["data_digest"],
        "version": version.tags["data_digest"],
        "archive": packed["data_digest"],
    }
