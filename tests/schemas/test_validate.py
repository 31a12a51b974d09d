"""The strict reading of CRD schemas finds what an API server would drop in silence."""

from copy import deepcopy
from typing import Any

import pytest

from tests.schemas.validate import check

SERVICE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "faces"},
    "spec": {
        "predictor": {
            "minReplicas": 1,
            "containers": [
                {
                    "name": "kserve-container",
                    "image": "registry.example.org/serve:1",
                    "resources": {"requests": {"cpu": 1, "memory": "2Gi"}},
                    "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}},
                }
            ],
        }
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The sound body with one value set."""
    body: Any = deepcopy(SERVICE)
    *parents, leaf = path.split(".")
    node = body
    for part in parents:
        node = node[int(part)] if part.isdigit() else node[part]
    node[leaf] = value
    return dict(body)


def test_a_sound_body_passes() -> None:
    check("InferenceService", SERVICE)


@pytest.mark.parametrize("amount", [1, "1", "500m", "2Gi"])
def test_a_quantity_is_a_number_or_text(amount: int | str) -> None:
    check("InferenceService", changed("spec.predictor.containers.0.resources.requests.cpu", amount))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.predictor.minReplica", 1, "minReplica"),
        ("spec.predictor.containers.0.readinessProbe.httpGet.prot", 1, "prot"),
        ("spec.predictors", {}, "predictors"),
        ("spec.predictor.minReplicas", "1", r"minReplicas: '1' is not of type 'integer'"),
        ("spec.predictor.containers.0.resources.requests.cpu", [1], "cpu"),
        ("spec.predictor.containers.0.resources.requests.cpu", "many", "cpu: 'many' does not match"),
        ("spec.predictor.containers.0.env", [{"value": "x"}], "'name' is a required property"),
        ("apiVersion", "serving.kserve.io/v1", "need 'serving.kserve.io/v1beta1'"),
        ("metadata.name", "Faces_1", "no DNS label"),
    ],
)
def test_a_misspelt_field_or_a_wrong_type_is_found(path: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check("InferenceService", changed(path, value))


def test_all_problems_are_told_at_once() -> None:
    body = changed("spec.predictor.minReplicas", "1")
    body["spec"]["canaries"] = []
    with pytest.raises(ValueError, match="2 problem"):
        check("InferenceService", body)
