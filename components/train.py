"""Step 5: train the network, in the step itself or as a TrainJob of any number of nodes."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def train(
    section: dict[str, Any],
    overrides: dict[str, Any],
    topology: dict[str, Any],
    seed: int,
    data_digest: str,
    shards: dsl.Input[dsl.Dataset],
    weights: dsl.Output[dsl.Model],
    curves: dsl.Output[dsl.HTML],
) -> None:
    """Write weights, meta and history; `overrides` are dotted names (`train.lr`) laid over the section."""
    from pathlib import Path

    from components.curves import curves_page
    from components.step import step
    from model.config import parse_run
    from model.launch import launch_training, parse_topology

    with step("train", inputs=[shards], outputs=[weights, curves]):
        run = parse_run(section, seed=seed, overrides=overrides)
        result = launch_training(
            run, shards=Path(shards.path), out=Path(weights.path), topology=parse_topology(topology)
        )
        Path(curves.path).write_text(curves_page(Path(weights.path)))
        digest = data_digest or shards.metadata["data_digest"]
        weights.metadata.update(data_digest=digest, weights_digest=result.weights_digest, **result.metrics)
