"""The workflow of a public forge: readable, without rights, calling targets that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def workflow(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / ".github/workflows/ci.yml").read_text())


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_each_make_target_it_calls_exists(workflow: dict[str, Any], root: Path):
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    runs = [step["run"] for step in steps(workflow) if "run" in step]
    called = {name for run in runs for words in re.findall(r"\bmake ([a-z -]+)", run) for name in words.split()}
    assert {"test", "demo", "test-containers", "supply-chain"} <= called <= targets


def test_it_may_only_read_and_keeps_no_credentials(workflow: dict[str, Any]):
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(workflow["jobs"])
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_it_uses_pinned_actions_of_the_forge_only_and_no_secret(workflow: dict[str, Any], root: Path):
    used = {step["uses"] for step in steps(workflow) if "uses" in step}
    assert all(re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", name) for name in used)
    assert "secrets." not in (root / ".github/workflows/ci.yml").read_text()
    assert "pull_request_target" not in (root / ".github/workflows/ci.yml").read_text()


def test_it_covers_the_supported_versions_of_python(workflow: dict[str, Any], root: Path):
    supported = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (root / "pyproject.toml").read_text())
    assert supported is not None
    versions = [f"3.{minor}" for minor in range(int(supported[1]), int(supported[2]))]
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
