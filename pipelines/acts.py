"""Whether the effect of a cached act still stands: the version is registered, the alias set, the champion the same.

Acts are never cached on a cluster, which cannot ask. Here they are, so that a run without change does nothing at all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp import dsl

from model.errors import FaceError
from model.storage import read_json

ACTS = ("evaluate-champion", "register", "promote")


def cache_acts(function: Any) -> None:
    """Let the local cache see the acts of a pipeline."""
    for component in function.component_spec.implementation.graph.components.values():
        for name, task in component.dag.tasks.items():
            if name in ACTS:
                task.caching_options.enable_cache = True


def stands(step: str, artifacts: Mapping[str, dsl.Artifact]) -> bool:
    """Whether what the act did is still so."""
    # mlflow takes seconds to import.
    from model.registry.standing import champion_weights, is_champion, is_registered

    try:
        match step:
            case "evaluate-champion":
                made = read_json(Path(artifacts["champion"].path) / "champion.json")
                known = (made["weights_digest"], made["challenger"])
                return champion_weights(made["name"]) in known
            case "register":
                made = read_json(Path(artifacts["registration"].path))
                against = made["champion"] and str(made["champion"])
                digest = made["weights_digest"]
                return is_registered(made["name"], made["version"], weights_digest=digest, judged_against=against)
            case "promote":
                made = read_json(Path(artifacts["promotion"].path))
                return is_champion(made["name"], made["after"], weights_digest=made["weights_digest"])
            case _:
                raise AssertionError(step)
    except FaceError:
        return False
