"""Manifests of distributed training against the API's own models and schemas."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubeflow.trainer import ContainerBackendConfig, TrainingRuntimeSource
from kubeflow.trainer.backends.container.runtime_loader import get_training_runtime_from_sources
from kubeflow_trainer_api import models

import model
from tests.deploy.manifests import render
from tests.schemas.validate import check

FOLDER = Path(__file__).parents[2] / "deploy" / "train"
RUNTIMES = {"cpu": FOLDER, "gpu": FOLDER.with_name("train-gpu")}


def pod_template(runtime):
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == "node"
    assert job["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    return job["template"]["spec"]["template"]


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    """The runtime as kubectl renders it, for CPU and for GPU."""
    (body,) = render(RUNTIMES[request.param])
    return body


def test_the_example_is_a_trainjob_of_our_runtime():
    job = yaml.safe_load((FOLDER / "trainjob.yaml").read_text())
    check("TrainJob", job)
    (runtime,) = render(FOLDER)
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert job["spec"]["trainer"]["image"] == f"residual-mtl:{model.__version__}"


def test_the_runtime_has_no_field_that_the_api_does_not_know(runtime):
    """The API's model drops what it does not know."""
    assert models.TrainerV1alpha1ClusterTrainingRuntime.from_dict(runtime).to_dict() == runtime


def test_the_sdk_finds_the_runtime(runtime, tmp_path):
    (tmp_path / "runtime.yaml").write_text(yaml.safe_dump(runtime))
    config = ContainerBackendConfig(runtime_source=TrainingRuntimeSource(sources=[str(tmp_path)]))
    found = get_training_runtime_from_sources("residual-mtl", config.runtime_source.sources)
    assert found.trainer.framework == "torch"
    assert found.trainer.image.startswith(f"residual-mtl:{model.__version__}")


def test_a_node_is_a_pod_that_kubernetes_accepts(runtime):
    template = pod_template(runtime)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node", **template["metadata"]}}
    kubernetes_validate.validate(pod | {"spec": template["spec"]}, kubernetes_validate.latest_version(), strict=True)


def test_a_node_writes_only_where_it_should_and_is_nobody(runtime):
    spec = pod_template(runtime)["spec"]
    (node,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert node["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["mountPath"] for mount in node["volumeMounts"]} == {"/shared", "/tmp", "/dev/shm"}


def test_keys_reach_a_node_by_reference_alone(runtime):
    (node,) = pod_template(runtime)["spec"]["containers"]
    for variable in node["env"]:
        assert "value" not in variable
        assert variable["valueFrom"]["secretKeyRef"]["name"] == "rmtl-s3"
        assert variable["valueFrom"]["secretKeyRef"]["key"] == variable["name"]
    assert node["envFrom"] == [{"configMapRef": {"name": "rmtl-settings", "optional": True}}]


def test_only_the_overlay_asks_for_a_gpu():
    limits = {
        name: pod_template(render(folder)[0])["spec"]["containers"][0]["resources"]["limits"]
        for name, folder in RUNTIMES.items()
    }
    assert limits["gpu"] == limits["cpu"] | {"nvidia.com/gpu": "1"}
