"""The weights and the champion measured on the same faces, then registered for the gate: shared by the pipelines."""

from typing import Any

from kfp import dsl

from components.evaluate import evaluate as evaluate_model
from components.evaluate_champion import evaluate_champion
from components.register import register as register_model
from pipelines.data import Faces
from pipelines.platform import REGISTRY, act, place, retried


def judge(
    weights: Any, faces: Faces, *, seed: int, evaluate: dict[str, Any], register: dict[str, Any]
) -> dsl.PipelineTask:
    """Evaluate, evaluate the champion, register; the last task, whose `Output` is the gate's word."""
    evaluated = evaluate_model(
        section=evaluate,
        seed=seed,
        data_digest=faces.digest,
        data=faces.data,
        valid_manifest=faces.valid_manifest,
        weights=weights,
    )
    reports = place(evaluated).outputs["reports"]
    opponent = evaluate_champion(
        section=evaluate,
        register=register,
        seed=seed,
        data_digest=faces.digest,
        data=faces.data,
        valid_manifest=faces.valid_manifest,
        reports=reports,
    )
    champion = act(retried(place(opponent, secrets=REGISTRY))).outputs["champion"]
    registered = register_model(
        section=register,
        data_digest=faces.digest,
        data_version=faces.version,
        weights=weights,
        reports=reports,
        champion=champion,
    )
    return act(retried(place(registered, secrets=REGISTRY)))
