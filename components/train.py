"""Step 5: train the network in the step itself; torchrun's environment makes it one of many processes."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def train(
    section: dict[str, Any],
    seed: int,
    data_digest: str,
    shards: dsl.Input[dsl.Dataset],
    weights: dsl.Output[dsl.Model],
) -> None:
    """Write weights, meta and history."""
    from pathlib import Path

    from model.config import TrainRun, parse_section
    from model.train.loop import train as run_training

    run = parse_section(TrainRun, {"seed": seed, "train": section}, name="pipeline")
    result = run_training(run, shards=Path(shards.path), out=Path(weights.path))
    weights.metadata.update(data_digest=data_digest, weights_digest=result.weights_digest, **result.metrics)
