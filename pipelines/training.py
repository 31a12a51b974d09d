"""From a data version to a promoted, packed model.

1. fetch the data version, 2. index it, 3. validate it, 4. pack shards, 5. train, 6. evaluate, 7. register and judge,
8. promote where the gate passes, 9. package.

Run:
    rmtl pipeline run --runner subprocess
"""

from typing import Any

from kfp import dsl

from components.evaluate import evaluate as evaluate_model
from components.index import index as index_faces
from components.ingest import ingest as ingest_data
from components.package import package as package_model
from components.promote import promote as promote_model
from components.register import register as register_model
from components.shard import shard as shard_faces
from components.train import train as train_model
from components.validate import validate as validate_faces

NAME = "residual-mtl-training"


@dsl.pipeline(name=NAME, description="From a data version to a promoted, packed model.")
def training(
    data_version: str,
    remote: str,
    seed: int,
    index: dict[str, Any],
    validate: dict[str, Any],
    shard: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    register: dict[str, Any],
    package: dict[str, Any],
    who: str,
) -> None:
    """`data_version` is the md5 of data.dvc; `remote` the DVC remote that holds it."""
    data = ingest_data(data_version=data_version, remote=remote).outputs["data"]
    manifest = index_faces(section=index, seed=seed, data_version=data_version, data=data).outputs["manifest"]
    checked = validate_faces(section=validate, data_version=data_version, data=data, manifest=manifest)
    valid, digest = checked.outputs["valid_manifest"], checked.outputs["Output"]
    shards = shard_faces(section=shard, data_digest=digest, data=data, valid_manifest=valid).outputs["shards"]
    weights = train_model(section=train, seed=seed, data_digest=digest, shards=shards).outputs["weights"]
    reports = evaluate_model(
        section=evaluate, seed=seed, data_digest=digest, data=data, valid_manifest=valid, weights=weights
    ).outputs["reports"]
    registered = register_model(section=register, data_digest=digest, weights=weights, reports=reports)
    with dsl.If(registered.outputs["Output"] == "pass"):
        promote_model(section=register, who=who, why="training pipeline", gate=registered.outputs["Output"])
    package_model(section=package, data_digest=digest, weights=weights)
