"""What `deploy/` says: valid, pinned, without secrets, and in agreement with the code."""

import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

import model
from model.serving.kserve import RELEASE_LABEL, Release, build_service
from pipelines.platform import SECRETS, SETTINGS, SETTINGS_KEYS, SHARED_CLAIM
from tests.deploy.manifests import DEPLOY, ROOT, Object, everything, kustomizations, pods, render, render_secrets
from tests.schemas.validate import check

VERSION = kubernetes_validate.latest_version()
CUSTOM = {"InferenceService", "TrainJob"}
UNDESCRIBED = {"ClusterTrainingRuntime", "TrainingRuntime"}
"""Kinds whose schema is not at hand; their pods are checked as pods."""

ALL = everything()
PODS = list(pods(ALL))


def title(item: Object) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


@pytest.mark.parametrize("name", kustomizations())
def test_a_kustomization_renders_to_valid_objects(name: str) -> None:
    """T17."""
    objects = render(DEPLOY / name)
    assert objects
    for item in objects:
        if item["kind"] in CUSTOM:
            check(item["kind"], item)
        elif item["kind"] not in UNDESCRIBED:
            kubernetes_validate.validate(item, VERSION, strict=True)


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: title(pod.owner))
def test_the_pod_of_an_object_is_a_valid_pod(pod: Any) -> None:
    fields = {"containers", "volumes", "nodeSelector", "tolerations", "serviceAccountName", "restartPolicy"}
    extra = {"modelFormat", "runtime", "storageUri", "protocolVersion"}
    containers = [{name: value for name, value in item.items() if name not in extra} for item in pod.containers]
    spec = {name: value for name, value in pod.spec.items() if name in fields}
    spec["containers"] = [{"name": "kserve-container"} | item for item in containers]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": pod.labels}, "spec": spec}
    kubernetes_validate.validate(body, VERSION, strict=True)


def test_the_strict_check_finds_a_misspelt_field() -> None:
    (claim,) = [item for item in render(DEPLOY / "base") if item["kind"] == "PersistentVolumeClaim"]
    claim["spec"]["accessMode"] = "ReadWriteMany"
    with pytest.raises(kubernetes_validate.ValidationError, match="accessMode"):
        kubernetes_validate.validate(claim, VERSION, strict=True)


def test_no_manifest_holds_a_secret(tmp_path: Path) -> None:
    """T17."""
    assert not [title(item) for item in ALL if item["kind"] == "Secret"]
    for pod in PODS:
        for container in pod.containers:
            for variable in container.get("env", []):
                if re.search(r"TOKEN|SECRET|PASSWORD|KEY|STORAGE$", variable["name"]):
                    assert "secretKeyRef" in variable.get("valueFrom", {}), (title(pod.owner), variable["name"])
    settings = [item for item in ALL if item["kind"] == "ConfigMap"]
    for name in (name for item in settings for name in item["data"]):
        assert not re.search(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY", name)
    for example in DEPLOY.glob("secrets/*.env.example"):
        assert all(line.startswith("#") or line.endswith("=") for line in example.read_text().splitlines()), example


def test_secrets_come_from_files_that_git_ignores(tmp_path: Path) -> None:
    objects = render_secrets(tmp_path, {"RMTL_ENDPOINT_TOKEN": "filled"})
    found = {item["metadata"]["name"]: set(item["data"]) for item in objects}
    assert found == {name: set(keys) for name, keys in SECRETS.items()}
    for item in objects:
        kubernetes_validate.validate(item, VERSION, strict=True)
    assert "*.env" in (DEPLOY / "secrets/.gitignore").read_text().split()
    assert not list(DEPLOY.rglob("*.env.yaml"))


def test_kserve_fetches_from_the_storage_of_the_settings(tmp_path: Path) -> None:
    (secret,) = [item for item in render_secrets(tmp_path, {}) if item["metadata"]["name"] == "rmtl-s3"]
    settings = _settings()
    notes = {name.rpartition("/")[2]: value for name, value in secret["metadata"]["annotations"].items()}
    scheme = "https" if notes["s3-usehttps"] == "1" else "http"
    assert settings["AWS_ENDPOINT_URL_S3"] == f"{scheme}://{notes['s3-endpoint']}"
    assert settings["AWS_DEFAULT_REGION"] == notes["s3-region"]
    (account,) = [item for item in render(DEPLOY / "base") if title(item) == "ServiceAccount rmtl-serve"]
    assert account["secrets"] == [{"name": "rmtl-s3"}]


def test_settings_are_those_that_the_steps_read() -> None:
    assert tuple(_settings()) == SETTINGS_KEYS
    names = {title(item) for item in render(DEPLOY / "base")}
    assert {f"ConfigMap {SETTINGS}", f"PersistentVolumeClaim {SHARED_CLAIM}", "ServiceAccount rmtl"} <= names


def test_images_are_pinned_to_this_version() -> None:
    """T17."""
    images = {container["image"] for pod in PODS for container in pod.containers if "image" in container}
    images.add(_settings()["RMTL_SERVE_IMAGE"])
    assert images
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name.startswith("residual-mtl"), image
        assert tag.removesuffix("-cu130") == model.__version__, image


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: title(pod.owner))
def test_a_pod_has_no_right_that_it_does_not_need(pod: Any) -> None:
    """T46."""
    for container in pod.containers:
        context = pod.spec.get("securityContext", {}) | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 10001
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        assert forbidden not in pod.spec
    assert not [volume for volume in pod.spec.get("volumes", []) if "hostPath" in volume]


def test_the_committed_endpoint_is_what_a_deployment_creates() -> None:
    (committed,) = render(DEPLOY / "serve/custom")
    release = Release(
        "residual-mtl", "1", "0" * 64, "s3://residual-mtl/models/1", f"residual-mtl-serve:{model.__version__}"
    )
    built = build_service(release, namespace="residual-mtl")
    del built["metadata"]["annotations"], built["spec"]["predictor"]["annotations"]
    del built["spec"]["predictor"]["labels"][RELEASE_LABEL]
    assert built == committed


def test_the_overlay_of_the_readme_names_another_registry_and_namespace(tmp_path: Path) -> None:
    """T47."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    example = re.search(r"```yaml\n(.*?)```", (DEPLOY / "README.md").read_text(), re.DOTALL)
    assert example
    (tmp_path / "team").mkdir()
    (tmp_path / "team/kustomization.yaml").write_text(example[1])
    objects = render(tmp_path / "team")
    spaces = {item["metadata"].get("namespace") for item in objects if not item["kind"].startswith("Cluster")}
    assert spaces == {None, "team-a"}
    assert [item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"] == ["team-a"]
    assert {subject["namespace"] for item in objects for subject in item.get("subjects", [])} == {"team-a"}
    (settings,) = [item for item in objects if item["kind"] == "ConfigMap"]
    assert settings["metadata"]["name"] == SETTINGS
    assert settings["data"]["AWS_ENDPOINT_URL_S3"] == "https://s3.team-a.example"
    assert settings["data"]["RMTL_JOURNAL"]
    (service,) = [item for item in objects if item["kind"] == "InferenceService"]
    image = service["spec"]["predictor"]["containers"][0]["image"]
    assert (
        image
        == settings["data"]["RMTL_SERVE_IMAGE"]
        == f"registry.team-a.example/residual-mtl-serve:{model.__version__}"
    )


def test_settings_of_the_environment_are_listed_for_people_too() -> None:
    listed = (ROOT / ".env.example").read_text()
    for name in (*SETTINGS_KEYS, "RMTL_ENDPOINT_TOKEN"):
        assert f"#{name}=" in listed, name


def _settings() -> dict[str, str]:
    (found,) = [item for item in render(DEPLOY / "base") if title(item) == f"ConfigMap {SETTINGS}"]
    return dict(found["data"])
