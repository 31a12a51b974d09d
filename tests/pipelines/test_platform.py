"""What the compiled pipelines ask of a cluster for each step."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.compile import PIPELINES, compile_pipeline
from pipelines.platform import LAUNCHER, SECRETS, SETTINGS

pytestmark = pytest.mark.pipeline

SERVICES = {"resolve", "ingest", "evaluate-champion", "register", "promote", "deploy"}
ACTS = SERVICES - {"resolve", "ingest"}
REGISTRY = ACTS | {"choose"}
TRAINING = {"train", "search-worker"}


@pytest.fixture(scope="module", params=list(PIPELINES))
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Pipeline and platform specification of one pipeline."""
    path: Path = compile_pipeline(request.param, tmp_path_factory.mktemp("platform"))
    pipeline, platform = yaml.safe_load_all(path.read_text())
    return pipeline, platform


@pytest.fixture
def executors(documents: tuple[Any, Any]) -> dict[str, Any]:
    found = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): settings for name, settings in found.items()}


def tasks(component: Any, components: Any) -> Iterator[tuple[str, Any]]:
    """Every task that runs a step, by the name of its step."""
    for name, task in component["dag"]["tasks"].items():
        inner = components[task["componentRef"]["name"]]
        if "dag" in inner:
            yield from tasks(inner, components)
        else:
            yield name.rstrip("-0123456789"), task


def test_every_step_is_bounded_and_without_rights(documents: tuple[Any, Any], executors: dict[str, Any]) -> None:
    assert set(executors) == {name.removeprefix("exec-") for name in documents[0]["deploymentSpec"]["executors"]}
    for name, settings in executors.items():
        assert settings["securityContext"]["runAsNonRoot"] is True, name
        assert int(settings["securityContext"]["runAsUser"]) > 0, name
        assert int(settings["activeDeadlineSeconds"]) > 0, name
        assert {"/tmp"} <= {mount["mountPath"] for mount in settings["emptyDirMounts"]}, name


def test_places_come_from_settings_and_secrets_by_their_names(executors: dict[str, Any]) -> None:
    """T17."""
    for name, settings in executors.items():
        assert {item["configMapName"] for item in settings["configMapAsEnv"]} == {SETTINGS}, name
        for secret in settings["secretAsEnv"]:
            keys = {item["secretKey"] for item in secret["keyToEnv"]}
            assert keys == set(SECRETS[secret["secretName"]]), name


def test_steps_see_only_the_secrets_they_need(executors: dict[str, Any]) -> None:
    seen = {name: {item["secretName"] for item in settings["secretAsEnv"]} for name, settings in executors.items()}
    for name, secrets in seen.items():
        step = name.rstrip("-0123456789")
        assert ("rmtl-mlflow" in secrets) == (step in REGISTRY), name
        assert ("rmtl-endpoint" in secrets) == (step == "deploy"), name
        assert ("rmtl-signing" in secrets) == (step == "promote"), name
        assert ("rmtl-search" in secrets) == (step in {"search-worker", "choose"}), name


def test_training_has_accelerators_and_shared_memory(documents: tuple[Any, Any], executors: dict[str, Any]) -> None:
    for name, settings in executors.items():
        if name.rstrip("-0123456789") not in TRAINING:
            assert "tolerations" not in settings
            continue
        assert settings["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert settings["nodeSelector"]["labels"] == {"nvidia.com/gpu.present": "true"}
        memory = {mount["mountPath"]: mount.get("medium") for mount in settings["emptyDirMounts"]}
        assert memory["/dev/shm"] == "Memory"
        container = documents[0]["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert container["resources"]["accelerator"]["resourceCount"] == "1"


def test_only_steps_that_talk_to_a_service_are_retried(documents: tuple[Any, Any]) -> None:
    pipeline = documents[0]
    retried = {name for name, task in tasks(pipeline["root"], pipeline["components"]) if "retryPolicy" in task}
    used = {name for name, _ in tasks(pipeline["root"], pipeline["components"])}
    assert retried == SERVICES & used


def test_what_may_change_without_notice_is_never_cached(documents: tuple[Any, Any]) -> None:
    """T14: the look-up of a revision, the report, and acts, whose effect a cluster cannot look up; all else is."""
    pipeline = documents[0]
    uncached = [
        name
        for name, task in tasks(pipeline["root"], pipeline["components"])
        if not task.get("cachingOptions", {}).get("enableCache")
    ]
    used = {name for name, _ in tasks(pipeline["root"], pipeline["components"])}
    assert sorted(uncached) == sorted(({"report", "resolve"} | ACTS) & used)


def test_the_report_runs_after_failures_too(documents: tuple[Any, Any]) -> None:
    report = documents[0]["root"]["dag"]["tasks"]["report"]
    assert report["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_finished_runs_leave_the_cluster(documents: tuple[Any, Any]) -> None:
    settings = documents[1]["platforms"]["kubernetes"]["pipelineConfig"]
    assert int(settings["resourceTtlOnCompletion"]) > 0
    assert int(settings["activeDeadlineSeconds"]) > 0


def compiled(root: Path, out: Path, **variables: str) -> list[Path]:
    command = [sys.executable, "-m", "pipelines", "compile", "--out", str(out)]
    subprocess.run(command, cwd=root, env=os.environ | variables, check=True, capture_output=True)
    return sorted(out.iterdir())


def test_a_cluster_without_gpus_is_asked_for_none(tmp_path: Path, root: Path) -> None:
    for path in compiled(root, tmp_path, RMTL_TRAIN_GPUS="0"):
        assert "nvidia" not in path.read_text()


def test_a_number_of_gpus_that_is_none_ends_with_exit_code_2(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines", "compile", "--out", str(tmp_path)]
    done = subprocess.run(
        command, check=False, cwd=root, env=os.environ | {"RMTL_TRAIN_GPUS": "all"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "RMTL_TRAIN_GPUS=all: need a whole number from 0 on" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_step_that_waits_for_a_job_holds_no_gpu_and_search_workers_keep_theirs(tmp_path: Path, root: Path) -> None:
    paths = compiled(root, tmp_path, **{LAUNCHER: "trainjob"})
    assert paths
    for path in paths:
        executors = next(yaml.safe_load_all(path.read_text()))["deploymentSpec"]["executors"]
        asking = {name for name, executor in executors.items() if executor["container"].get("resources")}
        assert asking == {name for name in executors if "search-worker" in name}
