"""From a data version to a model with searched loss weights, registered for the gate.

1. data version to shards, 2. several workers on one study, 3. choose from its front, 4. train with the choice,
5. evaluate, 6. evaluate the champion on the same faces, 7. register and judge; in any case 8. report.

Run:
    rmtl pipeline run --pipeline search
"""

from typing import Any

from kfp import dsl

from components.report import report as report_run
from components.search import choose as choose_trial
from components.search import search_worker
from components.train import train as train_model
from pipelines.data import prepare, version_of
from pipelines.judge import judge
from pipelines.platform import CONFIG, REGISTRY, accelerated, launched, place

NAME = "residual-mtl-search"
STUDY = ("rmtl-s3", "rmtl-search")


@dsl.pipeline(name=NAME, description="Search the loss weights, train with the choice.", pipeline_config=CONFIG)
def search(
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
    register: dict[str, Any],
    search: dict[str, Any],
    workers: list[int],
    topology: dict[str, Any],
    who: str,
) -> None:
    """Parameters as in `pipelines.training`; `workers` numbers the workers (0, 1, ...), which share one study."""
    with dsl.ExitHandler(place(report_run(who=who).set_caching_options(False)), name="steps"):
        version = version_of(data_version, named_by=named_by, repository=repository)
        faces = prepare(version, seed=seed, index=index, validate=validate, shard=shard, remote=remote)
        with dsl.ParallelFor(workers, name="workers") as worker:
            worked = search_worker(train=train, section=search, worker=worker, seed=seed, shards=faces.shards)
            accelerated(place(worked, secrets=STUDY, hours=24))
        trials = dsl.Collected(worked.outputs["trials"])
        chosen = choose_trial(section=search, register=register, seed=seed, trials=trials)
        overrides = place(chosen, secrets=(*REGISTRY, "rmtl-search")).outputs["Output"]
        trained = train_model(
            section=train,
            overrides=overrides,
            topology=topology,
            seed=seed,
            data_digest=faces.digest,
            shards=faces.shards,
        )
        weights = launched(trained).outputs["weights"]
        judge(weights, faces, seed=seed, evaluate=evaluate, register=register)
