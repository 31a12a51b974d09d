"""The rows of an ablation side by side: the same data, seed and steps, other switches.

1. data version to shards, 2. each row: train, evaluate, 3. compare; in any case 4. report.

Run:
    rmtl pipeline run --pipeline ablation --rows row-hard-sharing row-both
"""

from typing import Any

from kfp import dsl

from components.compare import compare as compare_rows
from components.evaluate import evaluate as evaluate_model
from components.report import report as report_run
from components.train import train as train_model
from pipelines.data import prepare, version_of
from pipelines.platform import CONFIG, launched, place

NAME = "residual-mtl-ablation"

# Within a loop kfp's local runner (2.17) puts the loop's item in the place of every output parameter of an earlier
# step, without a word; so the digest comes with the artifacts there.
NO_DIGEST = ""


@dsl.pipeline(name=NAME, description="Train and evaluate ablation rows side by side.", pipeline_config=CONFIG)
def ablation(
    data_version: str,
    named_by: str,
    repository: str,
    remote: str,
    seed: int,
    index: dict[str, Any],
    validate: dict[str, Any],
    shard: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    names: list[str],
    rows: list[dict[str, Any]],
    topology: dict[str, Any],
    who: str,
) -> None:
    """Parameters as in `pipelines.training`; a row of `rows` is what it lays over params (dotted name to value)."""
    with dsl.ExitHandler(place(report_run(who=who).set_caching_options(False)), name="steps"):
        version = version_of(data_version, named_by=named_by, repository=repository)
        faces = prepare(version, seed=seed, index=index, validate=validate, shard=shard, remote=remote)
        with dsl.ParallelFor(rows, name="rows") as row:
            trained = train_model(
                section=train,
                overrides=row,
                topology=topology,
                seed=seed,
                data_digest=NO_DIGEST,
                shards=faces.shards,
            )
            launched(trained)
            evaluated = evaluate_model(
                section=evaluate,
                seed=seed,
                data_digest=NO_DIGEST,
                data=faces.data,
                valid_manifest=faces.valid_manifest,
                weights=trained.outputs["weights"],
            )
            place(evaluated)
        place(compare_rows(names=names, rows=rows, reports=dsl.Collected(evaluated.outputs["reports"])))
