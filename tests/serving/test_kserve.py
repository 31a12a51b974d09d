"""Archives deployed to KServe, on kmock's Kubernetes API."""

import json
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from model.config import Config, DeployConfig
from model.errors import CheckpointError, ConfigError, FaceError, ServiceError
from model.net.multitask import build_net
from model.schema import Deployment
from model.serving import cluster, deploy
from model.serving.archive import package, read_package, unpack
from model.serving.deploy import Archive, deploy_archive, deploy_on_cluster
from model.serving.kserve import Release, build_service, serve_image, service_name, storage_uri, update_service
from model.serving.predictor import Predictor
from model.serving.schema import Origin
from model.weights import describe, save_weights
from tests.answering import answering
from tests.deploy.kube import Kube, kubeconfig, pod_of, ready, running
from tests.schemas.validate import check

URI = "s3://models/run-1/archive"
CANARY = "canary-secret-d41d8cd98f00"


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """The server, and the environment of a step that may use it."""
    for name in ("RMTL_KSERVE_NAMESPACE", "RMTL_SERVE_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", CANARY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setattr(cluster, "BACK_OFF_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(cluster, "POLL_S", 0.01)
    # `load_kube_config` reads the variable at import time of the package.
    with running() as server:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", _config(tmp_path, server))
        yield server


@pytest.fixture
def section(config: Config) -> DeployConfig:
    return config.deploy.model_copy(update={"startup_s": 1, "golden": 1})


def _config(folder: Path, server: Kube) -> str:
    return str(kubeconfig(folder, server.url))


def release(version: str = "7", digest: str = "a" * 64) -> Release:
    return Release("faces", version, digest, URI, "registry.example.org/serve:1")


def test_a_first_deployment_creates_the_service_and_reports_it(
    kube: Kube, section: DeployConfig, mar: Path, tmp_path: Path
) -> None:
    deployment = deploy_archive(
        section,
        Archive(mar.parent, "minio://models/run-1/archive", "7"),
        target="kserve",
        state=tmp_path / "serve",
        out=tmp_path / "deployment.json",
    )
    [(verb, body)] = kube.sent
    assert verb == "create"
    check("InferenceService", body)
    assert body["metadata"]["name"] == "residual-mtl"
    assert body["metadata"]["namespace"] == "team"
    predictor = body["spec"]["predictor"]
    assert {"name": "STORAGE_URI", "value": URI} in predictor["containers"][0]["env"]
    digest = read_package(unpack(mar, tmp_path / "weights")).weights_digest
    assert predictor["annotations"] == {"residual-mtl/model-version": "7", "residual-mtl/weights-digest": digest}
    report = json.loads((tmp_path / "deployment.json").read_text())
    assert report["url"] == deployment.url == "http://faces.team.example.org"
    assert (report["model"], report["version"], report["pid"], report["key_file"]) == ("residual-mtl", "7", None, None)


def test_secrets_are_named_and_never_sent(kube: Kube, section: DeployConfig, mar: Path) -> None:
    """T17."""
    deploy_on_cluster(section, Archive(mar, URI, "7"))
    [(_, body)] = kube.sent
    assert CANARY not in json.dumps(body)
    reference = body["spec"]["predictor"]["containers"][0]["env"][1]
    assert reference["name"] == "RMTL_ENDPOINT_TOKEN"
    assert reference["valueFrom"] == {"secretKeyRef": {"name": "rmtl-endpoint", "key": "RMTL_ENDPOINT_TOKEN"}}


def test_the_next_release_changes_the_release_alone(kube: Kube, section: DeployConfig, mar: Path) -> None:
    deploy_on_cluster(section, Archive(mar, URI, "7"))
    stored = kube.services["residual-mtl"]["spec"]["predictor"]
    stored["minReplicas"] = 4
    stored["nodeSelector"] = {"pool": "gpu"}
    stored["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "1"
    before = deepcopy(kube.services["residual-mtl"]["spec"]["predictor"])
    deploy_on_cluster(section, Archive(mar, "s3://models/run-2/archive", "8"))
    verb, body = kube.sent[-1]
    check("InferenceService", {name: value for name, value in body.items() if name != "status"})
    after = body["spec"]["predictor"]
    assert verb == "update"
    assert {"name": "STORAGE_URI", "value": "s3://models/run-2/archive"} in after["containers"][0]["env"]
    assert after["annotations"]["residual-mtl/model-version"] == "8"
    assert after["labels"]["residual-mtl/release"] != before["labels"]["residual-mtl/release"]
    for changed in (before, after):
        del changed["annotations"], changed["labels"], changed["containers"][0]["env"]
    assert after == before


def test_a_changed_object_is_read_again(kube: Kube) -> None:
    server = cluster.Cluster()
    server.apply(release())
    kube.conflicts = 2
    server.apply(release("8"))
    assert kube.sent[-1][1]["spec"]["predictor"]["annotations"]["residual-mtl/model-version"] == "8"
    kube.conflicts = 3
    with pytest.raises(ServiceError, match="others changed it 3 times"):
        server.apply(release("9"))


def test_ready_old_pods_do_not_make_a_release_ready(kube: Kube) -> None:
    """The condition stays true while the pods of the former release serve."""
    server = cluster.Cluster()
    server.apply(release("7"))
    old = pod_of(kube.services["faces"])
    kube.pods = lambda _: [old]
    server.wait(release("7"), limit_s=0.2)
    server.apply(release("8"))
    with pytest.raises(FaceError, match="version 8 was not ready within 0 s"):
        server.wait(release("8"), limit_s=0.2)


def test_another_image_or_place_of_the_same_weights_is_another_release() -> None:
    releases = [Release("f", "7", "b" * 64, *rest) for rest in ((URI, "i:1"), (URI, "i:2"), (f"{URI}2", "i:1"))]
    assert len({item.label for item in releases}) == 3


def test_an_unready_service_is_an_error_with_the_reasons(kube: Kube, section: DeployConfig, mar: Path) -> None:
    message = 'Revision "faces-00002" failed with message: Unable to fetch image'
    conditions = [
        {"type": "PredictorReady", "status": "False", "reason": "RevisionFailed", "message": message},
        {"type": "LatestDeploymentReady", "status": "False", "severity": "Info", "reason": "Detail"},
        {"type": "Ready", "status": "False", "reason": "RevisionFailed"},
    ]
    kube.status = lambda _: {
        "conditions": conditions,
        "modelStatus": {"lastFailureInfo": {"reason": "ModelLoadFailed"}},
    }
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    kube.pods = lambda service: [pod_of(service, containerStatuses=[{"name": "kserve-container", "state": waiting}])]
    started = time.monotonic()
    with pytest.raises(FaceError) as caught:
        deploy_on_cluster(section, Archive(mar, URI, "7"))
    assert time.monotonic() - started < 20
    assert caught.value.exit_code == 1
    text = str(caught.value)
    assert "PredictorReady False: RevisionFailed Revision" in text
    assert "pod residual-mtl-0, kserve-container: ImagePullBackOff no such image" in text
    assert "ModelLoadFailed" in text
    assert "What served before goes on serving" in text
    assert "Detail" not in text


def test_a_forbidden_act_exits_with_5_and_names_the_act(kube: Kube, section: DeployConfig, mar: Path) -> None:
    kube.forbidden = {"create inferenceservices"}
    with pytest.raises(ServiceError, match=r"forbids it in team: .* cannot create .*deploy/base/role.yaml") as caught:
        deploy_on_cluster(section, Archive(mar, URI, "7"))
    assert caught.value.exit_code == 5


def test_an_api_server_that_is_away_exits_with_5_in_time(
    kube: Kube, section: DeployConfig, mar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube.url = "http://127.0.0.1:9"
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", _config(tmp_path, kube))
    started = time.monotonic()
    with pytest.raises(ServiceError, match="Kubernetes API does not answer") as caught:
        deploy_on_cluster(section, Archive(mar, URI, "7"))
    assert time.monotonic() - started < 20
    assert caught.value.exit_code == 5


def test_a_busy_api_server_is_asked_again(kube: Kube) -> None:
    kube.failures = [503, 429]
    cluster.Cluster().apply(release())
    assert [verb for verb, _ in kube.sent] == ["create"]
    kube.failures = [500] * 4
    with pytest.raises(ServiceError, match="answers 500"):
        cluster.Cluster().apply(release())


def test_a_canary_share_is_set_and_later_removed(kube: Kube, section: DeployConfig, mar: Path) -> None:
    deploy_on_cluster(section, Archive(mar, URI, "7"))
    deploy_on_cluster(section, Archive(mar, URI, "8"), canary=10)
    assert kube.sent[-1][1]["spec"]["predictor"]["canaryTrafficPercent"] == 10
    check("InferenceService", kube.sent[-1][1])
    deploy_on_cluster(section, Archive(mar, URI, "8"))
    assert "canaryTrafficPercent" not in kube.sent[-1][1]["spec"]["predictor"]


@pytest.mark.parametrize("mode", ["RawDeployment", "Standard"])
def test_a_share_that_nobody_would_keep_is_refused(kube: Kube, mode: str) -> None:
    server = cluster.Cluster()
    server.apply(release())
    kube.status = lambda _: ready() | {"deploymentMode": mode}
    with pytest.raises(ConfigError, match="Knative mode"):
        server.apply(release("8"), canary=10)


@pytest.mark.parametrize("share", [-1, 101])
def test_a_share_outside_of_a_percentage_is_refused(share: int) -> None:
    with pytest.raises(ConfigError, match="0 to 100"):
        build_service(release(), namespace="team", canary=share)


def test_another_team_s_service_of_that_name_is_left_alone() -> None:
    body: dict[str, Any] = {"metadata": {"name": "faces"}, "spec": {"predictor": {"model": {}}}}
    with pytest.raises(FaceError, match="no `kserve-container` of ours"):
        update_service(body, release())


def test_the_namespace_comes_from_the_environment_first(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster.Cluster().namespace == "team"
    monkeypatch.setenv("RMTL_KSERVE_NAMESPACE", "other")
    assert cluster.Cluster().namespace == "other"


def test_without_a_cluster_the_message_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="KUBECONFIG"):
        cluster.Cluster()


@pytest.mark.parametrize("uri", ["/tmp/archive", "http://example.org/a.mar", "https://example.org/a.mar", "file:///x"])
def test_an_address_that_is_not_storage_is_refused(uri: str) -> None:
    """T44."""
    with pytest.raises(ConfigError, match="s3://"):
        storage_uri(uri)


@pytest.mark.parametrize("image", ["serve", "serve:latest", "host:5000/serve", "host:5000/serve:latest"])
def test_a_floating_image_is_refused(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T17."""
    monkeypatch.setenv("RMTL_SERVE_IMAGE", image)
    with pytest.raises(ConfigError, match="RMTL_SERVE_IMAGE"):
        serve_image()


@pytest.mark.parametrize("image", ["serve:1.0", "host:5000/team/serve:1", "host/serve@sha256:" + "a" * 64])
def test_a_pinned_image_is_taken(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTL_SERVE_IMAGE", image)
    assert serve_image() == image


def test_names_and_labels_are_what_kubernetes_takes() -> None:
    assert service_name("Face_Model_2") == "face-model-2"
    assert re.fullmatch("run-7-a-[0-9a-f]{12}", Release("f", "run/7 a", "b" * 64, URI, "i:1").label)
    assert len(Release("f", "v" * 80, "b" * 64, URI, "i:1").label) <= 63


def test_an_unknown_target_or_an_empty_folder_is_refused(section: DeployConfig, mar: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`local` or `kserve`"):
        deploy_archive(section, Archive(mar, URI, "7"), target="moon", state=tmp_path, out=tmp_path / "out")
    with pytest.raises(CheckpointError, match="found 0"):
        deploy_archive(section, Archive(tmp_path, URI, "7"), target="kserve", state=tmp_path, out=tmp_path / "out")


class Pods:
    """What answers behind a service: pods of the former release, and after so many answers those of version 7."""

    data_digest = "d" * 64

    def __init__(self, predictor: Predictor, *, former: float) -> None:
        self._predictor = predictor
        self._former = former

    @property
    def version(self) -> str:
        return "6" if self._former >= 0 else "7"

    def predict(self, *given: Any) -> dict[str, Any]:
        self._former -= 1
        return self._predictor.predict(*given) | ({"faces": []} if self.version == "6" else {})


def test_answers_of_the_former_release_are_not_compared(
    kube: Kube, section: DeployConfig, mar: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pods answer beside the first one of the new release, until their last one has ended."""
    monkeypatch.setattr(deploy, "POLL_S", 0.01)
    pods = Pods(predictor, former=3)
    with answering(pods, pods, Origin("7", pods.data_digest)) as url:
        kube.status = lambda _: ready(url)
        deploy_on_cluster(section, Archive(mar, URI, "7"))
    assert pods.version == "7"


def test_a_former_release_that_answers_on_is_told_in_time(
    kube: Kube, section: DeployConfig, mar: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "POLL_S", 0.01)
    pods = Pods(predictor, former=float("inf"))
    with answering(pods, pods, Origin("7", pods.data_digest)) as url:
        kube.status = lambda _: ready(url)
        with pytest.raises(ServiceError, match="version 6 still answers, not 7") as caught:
            deploy_on_cluster(section, Archive(mar, URI, "7"))
    assert caught.value.exit_code == 5


@pytest.mark.service
def test_golden_answers_go_through_the_address_of_the_service(
    kube: Kube, section: DeployConfig, mar: Path, endpoint: Deployment, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T31."""
    kube.status = lambda _: ready(endpoint.url)
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", token)
    deploy_on_cluster(section, Archive(mar, URI, "7"))
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", "another")
    with pytest.raises(ServiceError, match="401"):
        deploy_on_cluster(section, Archive(mar, URI, "7"))


@pytest.mark.service
def test_a_service_that_answers_with_other_weights_is_refused(
    kube: Kube, config: Config, endpoint: Deployment, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T31."""
    kube.status = lambda _: ready(endpoint.url)
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", token)
    shape = np.random.default_rng(1).uniform(0.2, 0.8, (68, 2))
    net = build_net(config.train.net, None, mean_shape_K2=shape, seed=1)
    points = tuple((float(x), float(y)) for x, y in shape)
    about = describe(config.run, mean_shape=points, data_digest="e" * 64, restricted=False)
    save_weights(tmp_path / "weights", net.state_dict(), about)
    other = package(config.package, weights=tmp_path / "weights", out=tmp_path / "mar", version="7")
    with pytest.raises(ServiceError, match=r"golden picture 0: .* answers otherwise: face 0: points differ"):
        deploy_on_cluster(config.deploy, Archive(other, URI, "7"))


@pytest.mark.service
def test_the_local_target_is_an_endpoint_of_this_machine(section: DeployConfig, mar: Path, tmp_path: Path) -> None:
    from model.serving import server

    patient = section.model_copy(update={"startup_s": 180})
    try:
        state, out = tmp_path / "serve", tmp_path / "deployment.json"
        deployment = deploy_archive(patient, Archive(mar, "", "7"), target="local", state=state, out=out)
        assert requests.get(f"{deployment.url}/ping", timeout=5).json()["status"] == "ready"
        assert json.loads((tmp_path / "deployment.json").read_text())["pid"] == deployment.pid
    finally:
        assert server.stop(None, state=tmp_path / "serve")
