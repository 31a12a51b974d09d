"""Who reaches what: network policies and roles, evaluated as a cluster does."""

import re
from typing import Any

import pytest

from tests.deploy.manifests import DEPLOY, Object, Pod, everything, pods, render

BASE = render(DEPLOY / "base")
POLICIES = [item["spec"] for item in BASE if item["kind"] == "NetworkPolicy"]
PODS = list(pods(everything()))

ROUTER, QUEUE_PROXY = {8080}, {8012, 8013, 8112}
GATEWAYS = ("istio-system", "knative-serving", "kourier-system", "envoy-gateway-system")
CLOSED = {
    5000: "MLflow",
    7070: "inference over gRPC",
    7071: "management over gRPC",
    8081: "management",
    8082: "metrics",
    8085: "inference behind KServe's wrapper",
    9090: "queue proxy's metrics",
    29500: "rendezvous of a training",
}


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """A label selector; the operators that the manifests use."""
    plain = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    assert {item["operator"] for item in expressions} <= {"In"}
    return plain and all(labels.get(item["key"]) in item["values"] for item in expressions)


def open_ports(labels: dict[str, str], *, namespace: str) -> set[int | str]:
    """Ports of a pod that another namespace reaches; `all` where no policy closes the rest."""
    chosen = [policy for policy in POLICIES if matches(policy["podSelector"], labels)]
    if not any("Ingress" in policy["policyTypes"] for policy in chosen):
        return {"all"}
    found: set[int | str] = set()
    for rule in (rule for policy in chosen for rule in policy.get("ingress", [])):
        # A peer without namespaceSelector means pods of the policy's own namespace.
        peers = [peer["namespaceSelector"] for peer in rule.get("from", []) if "namespaceSelector" in peer]
        if "from" not in rule or any(matches(peer, {"kubernetes.io/metadata.name": namespace}) for peer in peers):
            found |= {item["port"] for item in rule["ports"]} if "ports" in rule else {"all"}
    return found


def endpoint_pods() -> list[Pod]:
    return [pod for pod in PODS if pod.owner["kind"] == "InferenceService"]


def test_another_namespace_reaches_nothing() -> None:
    """T44."""
    for pod in PODS:
        assert open_ports(pod.labels, namespace="another-team") == set()
    assert open_ports({"app": "mlflow"}, namespace="another-team") == set()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_gateway_reaches_the_router_alone(gateway: str) -> None:
    """T44."""
    assert len(endpoint_pods()) >= 2
    for pod in endpoint_pods():
        reached = open_ports(pod.labels, namespace=gateway)
        assert reached - {9090} == ROUTER | QUEUE_PROXY
        assert not (reached & CLOSED.keys()) - {9090}
    assert open_ports({"app": "mlflow"}, namespace=gateway) == set()
    for pod in PODS:
        if pod not in endpoint_pods():
            assert open_ports(pod.labels, namespace=gateway) == set()


def test_only_the_autoscaler_reads_the_queue_proxy_s_counters() -> None:
    readers = [name for name in (*GATEWAYS, "monitoring") if 9090 in open_ports(PODS_LABELS, namespace=name)]
    assert readers == ["knative-serving"]


def test_each_port_of_a_pod_is_named_or_closed() -> None:
    """T44."""
    named: set[Any] = {
        item["port"] for policy in POLICIES for rule in policy["ingress"] for item in rule.get("ports", [])
    }
    assert named == ROUTER | QUEUE_PROXY | {9090}
    for pod in PODS:
        declared = {port["containerPort"] for item in pod.containers for port in item.get("ports", [])}
        assert declared <= named | CLOSED.keys(), pod.owner["metadata"]["name"]


def test_the_policy_of_the_endpoint_selects_its_pods_and_no_others() -> None:
    (policy,) = [item["spec"] for item in BASE if item["metadata"]["name"] == "rmtl-endpoint"]
    for pod in PODS:
        assert matches(policy["podSelector"], pod.labels) == (pod.owner["kind"] == "InferenceService")


def test_bare_torchserve_listens_outside_of_its_pod_for_inference_alone() -> None:
    """T44."""
    text = (DEPLOY / "serve/torchserve/config.properties").read_text()
    values = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert re.fullmatch(r"http://0\.0\.0\.0:8080", values["inference_address"])
    for name in ("management_address", "metrics_address"):
        assert values[name].startswith("http://127.0.0.1:")
    assert values["grpc_inference_address"] == values["grpc_management_address"] == "127.0.0.1"
    assert values["enable_model_api"] == values["enable_envvars_config"] == "false"
    assert values["allowed_urls"] == f"file://{values['model_store']}/.*"


def may(verb: str, group: str, resource: str, name: str = "") -> bool:
    """Whether the account of the steps may do that in its namespace."""
    rules = [rule for item in BASE if item["kind"] in ("Role", "ClusterRole") for rule in item["rules"]]
    return any(
        verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource in rule["resources"]
        and name in rule.get("resourceNames", [name])
        for rule in rules
    )


def test_steps_may_do_what_they_do() -> None:
    for verb in ("get", "create", "update"):
        assert may(verb, "serving.kserve.io", "inferenceservices")
    for verb in ("get", "create", "list", "watch", "delete"):
        assert may(verb, "trainer.kubeflow.org", "trainjobs")
    for verb in ("get", "list"):
        assert may(verb, "trainer.kubeflow.org", "clustertrainingruntimes")
    assert may("list", "", "pods")
    assert may("get", "", "pods/log")
    for kind in ("trainjobs", "inferenceservices"):
        assert may("get", "trainer.kubeflow.org" if kind == "trainjobs" else "serving.kserve.io", f"{kind}/status")


def test_steps_may_not_read_secrets_or_give_rights() -> None:
    """T44."""
    assert not may("get", "", "secrets", "rmtl-s3")
    assert not may("list", "", "secrets")
    assert not may("create", "", "pods/exec")
    for item in BASE:
        for rule in item.get("rules", []):
            assert "*" not in [*rule["verbs"], *rule["apiGroups"], *rule["resources"]]
            assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])


def test_the_endpoint_s_account_has_no_rights() -> None:
    bound = {subject["name"] for item in BASE for subject in item.get("subjects", [])}
    assert bound == {"rmtl"}
    (account,) = [item for item in BASE if item["metadata"]["name"] == "rmtl-serve"]
    assert account["automountServiceAccountToken"] is False
    for pod in endpoint_pods():
        assert pod.spec["serviceAccountName"] == "rmtl-serve"


PODS_LABELS = endpoint_pods()[0].labels
