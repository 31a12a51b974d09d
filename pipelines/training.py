"""From a data version to a promoted, packed and deployed model.

1. look up the data version, 2. fetch it, 3. index it, 4. validate it, 5. pack shards, 6. train, 7. evaluate,
8. evaluate the champion on the same faces, 9. register and judge, 10. package; where the gate passes and nobody has to
approve 11. promote, 12. deploy; in any case 13. report.

Run:
    rmtl pipeline run --runner subprocess
"""

from typing import Any

from kfp import dsl

from components.deploy import deploy as deploy_model
from components.package import package as package_model
from components.promote import promote as promote_model
from components.report import report as report_run
from components.train import train as train_model
from pipelines.data import prepare, version_of
from pipelines.judge import judge
from pipelines.platform import CONFIG, REGISTRY, act, launched, place, retried

NAME = "residual-mtl-training"


@dsl.pipeline(name=NAME, description="From a data version to a promoted, deployed model.", pipeline_config=CONFIG)
def training(
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
    package: dict[str, Any],
    deploy: dict[str, Any],
    target: str,
    topology: dict[str, Any],
    who: str,
) -> None:
    """Sections of params.yaml by name, and what params.yaml does not hold.

    Args:
        data_version: the md5 of data.dvc, or a Git revision of `repository`; `named_by` says which.
        named_by: `digest` or `revision`.
        remote: the DVC remote that holds the data.
        target: where to deploy: `none`, `local` or `kserve`.
        topology: launcher, nodes and processes of the training.
    """
    with dsl.ExitHandler(place(report_run(who=who).set_caching_options(False)), name="steps"):
        version = version_of(data_version, named_by=named_by, repository=repository)
        faces = prepare(version, seed=seed, index=index, validate=validate, shard=shard, remote=remote)
        trained = train_model(
            section=train, overrides={}, topology=topology, seed=seed, data_digest=faces.digest, shards=faces.shards
        )
        weights = launched(trained).outputs["weights"]
        registered = judge(weights, faces, seed=seed, evaluate=evaluate, register=register)
        registration = registered.outputs["registration"]
        packed = place(
            package_model(section=package, data_digest=faces.digest, weights=weights, registration=registration)
        )
        with dsl.If(registered.outputs["Output"] == "pass"):
            promoted = promote_model(section=register, who=who, why="training pipeline", registration=registration)
            act(retried(place(promoted, secrets=(*REGISTRY, "rmtl-signing"))))
            with dsl.If(target != "none"):
                deployed = deploy_model(
                    section=deploy,
                    target=target,
                    promotion=promoted.outputs["promotion"],
                    archive=packed.outputs["archive"],
                )
                act(retried(place(deployed, secrets=(*REGISTRY, "rmtl-endpoint"))))
